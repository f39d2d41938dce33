// workers, shutdown_grace, log, admin: what concerns the process as a whole.
#include <array>

#include "config/choices.h"
#include "config/cpu_count.h"
#include "config/sections.h"

namespace imapmux::config {

namespace {

void read_workers(const Value& value, Config& config) {
  if (value.is_scalar() && value.node().Scalar() == "auto") {
    config.workers = usable_cpus();
  } else if (const auto number = value.integer(1, kMaxWorkers)) {
    config.workers = static_cast<uint32_t>(*number);
  }
}

void read_trace_client(const Value& value, ProtocolTrace& trace) {
  const auto text = value.text("a numeric address");
  if (!text) return;
  const auto address = base::IpAddress::parse(*text);
  if (address)
    trace.client = address->to_string();
  else
    value.error(fmt::format("must be a numeric address, not {}", quoted(*text)));
}

constexpr std::array kTraceKeys = std::to_array<Key<ProtocolTrace>>({
    {"user", read_text<&ProtocolTrace::user>, "text", kNoDefault, Reload::kApplies,
     "Only the connections of this user."},
    {"client", read_trace_client, "address", kNoDefault, Reload::kApplies,
     "Only connections from this address."},
});

void read_trace(const Value& value, Config& config) {
  const auto map = read_keys<ProtocolTrace>(value, kTraceKeys, config.trace);
  if (map && map->entries().empty())
    value.error("needs user or client; the dialogue of everybody is never logged");
}

constexpr std::array kLogKeys = std::to_array<Key<Config>>({
    {"level", read_choice<&Config::log_level, kLogLevelChoices>, "trace, debug, info, warn, error", "info",
     Reload::kApplies, "What is logged, to standard error. Secrets never are."},
    {"format", read_choice<&Config::log_format, kLogFormatChoices>, "text, json", "text", Reload::kApplies,
     "One line of text or one JSON object per event."},
    {"protocol_trace", read_trace, "map", kNoDefault, Reload::kApplies,
     "Logs the dialogue of one user or client, with passwords and bodies masked."},
});

void read_admin_bind(const Value& value, Config& config) {
  if (auto endpoint = read_bind(value)) config.admin = std::move(*endpoint);
}

constexpr std::array kAdminKeys = std::to_array<Key<Config>>({
    {"bind", read_admin_bind, "address", kRequired, Reload::kNeedsRestart,
     "Where the administration server listens: HOST:PORT or unix:/path (a socket for its user and group)."},
    {"token", read_secret<&Config::admin_token>, "secret", kNoDefault, Reload::kApplies,
     "Who shows it may see the status and act. Needed when bound beyond loopback."},
    {"token_file", read_secret_file<&Config::admin_token>, "file", kNoDefault, Reload::kApplies,
     "The token as the contents of a file, without the newline at its end."},
    {"metrics_token", read_secret<&Config::admin_metrics_token>, "secret", kNoDefault, Reload::kApplies,
     "Who shows it, or the token, may read /metrics. Without it everybody may."},
    {"metrics_token_file", read_secret_file<&Config::admin_metrics_token>, "file", kNoDefault,
     Reload::kApplies, "That token as the contents of a file, without the newline at its end."},
});

void read_takeover_socket(const Value& value, Takeover& takeover) {
  const auto text = value.text("the path of a unix socket");
  if (!text) return;
  if (base::parse_endpoint("unix:" + *text))
    takeover.socket = *text;
  else
    value.error(fmt::format("must be an absolute path of at most 107 octets, not {}", quoted(*text)));
}

constexpr std::array kTakeoverKeys = std::to_array<Key<Takeover>>({
    {"socket", read_takeover_socket, "path", kRequired, Reload::kNeedsRestart,
     "A unix socket, for this user only: what `serve --takeover` connects to. Its directory must be there."},
    {"drain", read_duration<&Takeover::drain, 0>, "duration", "30s", Reload::kApplies,
     "The process that was taken over from says goodbye to the clients nobody asked it for within this time, "
     "one after the other; then shutdown_grace for the last of them."},
});

void read_takeover(const Value& value, Config& config) {
  read_keys<Takeover>(value, kTakeoverKeys, config.takeover);
}

constexpr std::array kProcessKeys = std::to_array<Key<Config>>({
    {"workers", read_workers, "auto, 1..64", "auto", Reload::kNeedsRestart,
     "Event-loop threads. auto: the CPUs by affinity and cgroup quota."},
    {"shutdown_grace", read_duration<&Config::shutdown_grace, 0>, "duration", "10s", Reload::kApplies,
     "How long commands in flight may take to end on shutdown."},
    {"log", read_log, "map", "{}", Reload::kApplies, "What is logged, and how."},
    {"admin", read_admin, "map", kNoDefault, Reload::kNeedsRestart,
     "The administration server: metrics, health, status. Left out: switched off."},
    {"takeover", read_takeover, "map", kNoDefault, Reload::kNeedsRestart,
     "How a new process takes over from this one, sockets and accounts. Left out: none can."},
    {"certificates", read_certificates, "list", "[]", Reload::kApplies,
     "Certificates for the listeners, chosen by SNI; the first is the default."},
    {"listeners", read_listeners, "list",
     "(143 with starttls and 993 implicit with a certificate; else 143 without TLS)", Reload::kApplies,
     "Where mail clients connect."},
    {"backends", read_backends, "map", kRequired, Reload::kApplies,
     "The mail servers, by a name of your choice."},
    {"routes", read_routes, "list", "(the only backend)", Reload::kApplies,
     "Who goes to which backend. The first match wins; without a match the login is refused."},
    {"limits", read_limits, "map", "{}", Reload::kApplies, "What clients may use up."},
});

}  // namespace

void read_log(const Value& value, Config& config) {
  read_keys<Config>(value, kLogKeys, config);
}

void read_admin(const Value& value, Config& config) {
  const auto map = read_keys<Config>(value, kAdminKeys, config);
  if (!map) return;
  refuse_both(*map, "token", "token_file");
  refuse_both(*map, "metrics_token", "metrics_token_file");
  const bool has_token = map->find("token") != nullptr || map->find("token_file") != nullptr;
  if (config.admin && !config.admin->is_loopback() && !has_token) {
    map->near("bind").error("listens beyond loopback, so that token or token_file is needed");
  }
}

std::optional<Map> read_process(const Value& value, Config& config) {
  auto map = read_keys<Config>(value, kProcessKeys, config);
  if (!map) return map;
  if (map->find("listeners") == nullptr) add_default_listeners(value, config);
  if (map->find("routes") == nullptr) add_default_route(value, config);
  return map;
}

void append_process_keys(std::vector<KeyInfo>& out) {
  append_keys<Config>(kProcessKeys, "", out);
  append_keys<Config>(kLogKeys, "log.", out);
  append_keys<ProtocolTrace>(kTraceKeys, "log.protocol_trace.", out);
  append_keys<Config>(kAdminKeys, "admin.", out);
  append_keys<Takeover>(kTakeoverKeys, "takeover.", out);
}

}  // namespace imapmux::config
