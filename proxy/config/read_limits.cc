// limits: what clients may use up.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "config/readers.h"
#include "config/sections.h"

namespace imapmux::config {

namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;
constexpr uint64_t kTiB = 1024 * kGiB;
constexpr base::Millis kLeastIdleTimeout{30 * 60 * 1000};
// Logs, the admin server: what is open beside two descriptors per client. A worker has its listeners, and
// pipes to splice through (net/pipe.cc).
constexpr uint64_t kOtherDescriptors = 60;
constexpr uint64_t kDescriptorsOfWorker = 50;

// 0 switches it off; the system counts in seconds.
void read_tcp_keepalive(const Value& value, Limits& limits) {
  const auto duration = value.duration(base::Millis(0), base::Millis(kLongestMillis));
  if (!duration) return;
  if (duration->count() % 1000 != 0) return value.error("must be whole seconds");
  limits.tcp_keepalive = *duration;
}

void read_spool_directory(const Value& value, Limits& limits) {
  const auto name = value.text("the path of a directory");
  if (!name) return;
  limits.spool_directory = resolve_path(*name, value.source().directory);
  const std::string reason = why_no_files_in(limits.spool_directory);
  if (!reason.empty()) value.error(fmt::format("cannot make files in {}: {}", quoted(*name), reason));
}

constexpr std::array kLimitKeys = std::to_array<Key<Limits>>({
    {"max_clients", read_integer<&Limits::max_clients, 1, 10'000'000>, "1..10000000", "10000",
     Reload::kApplies, "Beyond it clients get * BYE [UNAVAILABLE]. Each needs two file descriptors."},
    {"max_clients_per_address", read_integer<&Limits::max_clients_per_address, 0, 10'000'000>, "0..10000000",
     "100", Reload::kApplies,
     "The same per client address; an IPv6 client counts by its /64 network. 0: no limit."},
    {"max_clients_per_user", read_integer<&Limits::max_clients_per_user, 0, 10'000'000>, "0..10000000", "0",
     Reload::kApplies, "How many clients of one user may be logged in; beyond it NO [LIMIT]. 0: no limit."},
    {"trusted_networks", read_networks<&Limits::trusted_networks>, "list of networks", "[127.0.0.0/8]",
     Reload::kApplies, "Webmail hosts: exempt from limits and delays per address."},
    {"max_command_size", read_size<&Limits::max_command_size, kKiB, 16 * kMiB>, "size", "64KiB",
     Reload::kApplies, "The longest command without its literals; beyond it BAD and BYE."},
    {"max_message_size", read_size<&Limits::max_message_size, kKiB, 4 * kGiB - 1>, "size", "64MiB",
     Reload::kApplies, "The largest message that a client may append."},
    {"max_backlog", read_size<&Limits::max_backlog, kMiB, 16 * kTiB>, "size", "256MiB", Reload::kApplies,
     "What may wait for one client that reads slowly while others want its connection; beyond it that client "
     "is disconnected."},
    {"max_spool", read_size<&Limits::max_spool, kMiB, 16 * kTiB>, "size", "4GiB", Reload::kApplies,
     "What may wait in memory and on disk, all clients together: uploads, answers for slow readers. At least "
     "max_message_size."},
    {"spool_directory", read_spool_directory, "directory", "($TMPDIR, else /tmp)", Reload::kNeedsRestart,
     "Where the large part of it waits, in files without a name."},
    {"login_timeout", read_duration<&Limits::login_timeout>, "duration", "60s", Reload::kApplies,
     "How long a client may take to log in."},
    {"idle_timeout", read_duration<&Limits::idle_timeout>, "duration", "30m", Reload::kApplies,
     "How long a client that is logged in may be silent; 30 minutes at least (RFC 3501, 5.4)."},
    {"idle_keepalive", read_duration<&Limits::idle_keepalive>, "duration", "2m", Reload::kApplies,
     "How often clients in IDLE get * OK Still here, so that those behind NAT are missed early."},
    {"tcp_keepalive", read_tcp_keepalive, "duration", "60s", Reload::kApplies,
     "When TCP begins to probe silent peers, in whole seconds; 0: never."},
    {"auth_failure_delay", read_duration<&Limits::auth_failure_delay, 0, 15'000>, "duration", "2s",
     Reload::kApplies, "Delay after a failed login; grows per address and user, to 15 s."},
});

void check_descriptors(const Map& map, const Config& config) {
  const Limits& limits = config.limits;
  struct rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return;
  const uint64_t needed =
      uint64_t{limits.max_clients} * 2 + kOtherDescriptors + config.workers * kDescriptorsOfWorker;
  if (needed <= limit.rlim_max) return;
  const Value& place = map.near("max_clients");
  place.source().problems.warning(
      place.place(),
      fmt::format("{}: {} clients need {} open files, and RLIMIT_NOFILE allows {}",
                  map.whole().path_of("max_clients"), limits.max_clients, needed, limit.rlim_max));
}

void settle_spool(const Map& map, Config& config) {
  Limits& limits = config.limits;
  if (limits.max_spool < limits.max_message_size) {
    map.near("max_spool")
        .error(fmt::format("is less than max_message_size ({})", format_size(limits.max_message_size)));
  }
  if (map.find("spool_directory") != nullptr) return;
  const char* temporary = std::getenv("TMPDIR");
  if (temporary != nullptr && *temporary != '\0') limits.spool_directory = resolve_path(temporary, ".");
  const bool used = std::any_of(config.backends.begin(), config.backends.end(), [](const auto& named) {
    return named.second.access == MailboxAccess::kShared;
  });
  const std::string reason = why_no_files_in(limits.spool_directory);
  if (!used || reason.empty()) return;
  const Value& whole = map.whole();
  whole.source().problems.warning(
      whole.place(), fmt::format("{}: cannot make files in {}: {}; large messages will be refused",
                                 whole.path_of("spool_directory"), quoted(limits.spool_directory), reason));
}

}  // namespace

void read_limits(const Value& value, Config& config) {
  const auto map = read_keys<Limits>(value, kLimitKeys, config.limits);
  if (!map) return;
  if (config.limits.idle_timeout < kLeastIdleTimeout) {
    map->near("idle_timeout")
        .warning("less than 30 minutes breaks RFC 3501, 5.4: clients will lose connections");
  }
  settle_spool(*map, config);
  check_descriptors(*map, config);
}

void append_limit_keys(std::vector<KeyInfo>& out) {
  append_keys<Limits>(kLimitKeys, "limits.", out);
}

}  // namespace imapmux::config
