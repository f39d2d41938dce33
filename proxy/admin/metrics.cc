#include "admin/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

#include "wire/command_table.h"

namespace imapmux::admin {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// One family after the other, its samples behind it.
class Families {
 public:
  Families& begin(MetricType type, std::string name, std::string help) {
    all_.push_back({"imapmux_" + std::move(name), std::move(help), type, {}});
    return *this;
  }
  // Of the process itself, under names that are the same for every program.
  Families& begin_process(MetricType type, std::string name, std::string help) {
    all_.push_back({"process_" + std::move(name), std::move(help), type, {}});
    return *this;
  }
  template <class Number>
  Families& add(Number number, Labels labels = {}) {
    auto& sample = next(std::move(labels));
    const auto value = static_cast<double>(number);
    (all_.back().type == MetricType::Counter ? sample.counter.value : sample.gauge.value) = value;
    return *this;
  }
  Families& add(const base::Durations::Total& total, Labels labels = {}) {
    auto& histogram = next(std::move(labels)).histogram;
    for (size_t i = 0; i < base::Durations::kBounds; ++i) {
      histogram.sample_count += total.counts[i];
      histogram.bucket.push_back(
          {histogram.sample_count, static_cast<double>(base::Durations::bound_ms(i)) / 1000});
    }
    histogram.sample_count = total.count();
    histogram.sample_sum = static_cast<double>(total.millis) / 1000;
    return *this;
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(all_); }

 private:
  ClientMetric& next(Labels labels) {
    all_.back().metric.emplace_back();
    all_.back().metric.back().label = std::move(labels);
    return all_.back().metric.back();
  }
  std::vector<MetricFamily> all_;
};

// "UID FETCH", "other".
std::string command_name(size_t verb) {
  const auto name = wire::info(static_cast<wire::Verb>(verb)).name;
  return name.empty() ? "other" : std::string(name);
}

// "not authenticated" is not_authenticated in a label.
std::string label(std::string_view words) {
  std::string out(words);
  std::replace(out.begin(), out.end(), ' ', '_');
  return out;
}

void add_clients(Families& out, const session::Snapshot& snapshot) {
  out.begin(MetricType::Gauge, "client_sessions", "Mail clients that are connected, by state.");
  for (size_t i = 0; i < session::kStates; ++i)
    out.add(snapshot.all.clients_by_state[i], {{"state", label(name_of(static_cast<session::State>(i)))}});
  out.begin(MetricType::Gauge, "client_sessions_waiting",
            "Mail clients that wait for a mailbox or a backend connection.")
      .add(snapshot.all.clients_waiting);
  out.begin(MetricType::Counter, "client_connections_total", "Mail clients that have connected.")
      .add(snapshot.sessions_total);
  out.begin(MetricType::Counter, "client_connections_refused_total",
            "Mail clients beyond max_clients or max_clients_per_address.")
      .add(snapshot.clients_refused);
  out.begin(MetricType::Counter, "logins_total",
            "Logins by outcome: accepted, refused, unavailable (the backend could not be asked, or a limit).")
      .add(snapshot.logins, {{"outcome", "accepted"}})
      .add(snapshot.logins_refused, {{"outcome", "refused"}})
      .add(snapshot.logins_unavailable, {{"outcome", "unavailable"}});
  out.begin(MetricType::Counter, "hand_overs_total",
            "Mail clients that moved to the worker of their account at login.")
      .add(snapshot.hand_overs);
}

void add_commands(Families& out, const session::Readings& meters) {
  out.begin(
      MetricType::Histogram, "command_duration_seconds",
      "From a client's command to its tagged answer (IDLE: to its go-ahead). Relayed ones are not seen.");
  for (size_t i = 0; i < meters.commands.size(); ++i)
    if (meters.commands[i].count() > 0) out.add(meters.commands[i], {{"command", command_name(i)}});
  out.begin(MetricType::Counter, "retries_total",
            "Commands that ran again since their backend connection was lost.")
      .add(meters.retries);
}

void add_servers(Families& out, const session::Snapshot& snapshot) {
  const auto each = [&](auto f) {
    for (const auto& one : snapshot.servers) f(one, Labels{{"backend", one.backend}, {"server", one.server}});
  };
  using Standing = backend::ServerHealth::Standing;
  out.begin(MetricType::Gauge, "backend_up", "Whether a server is up: 0 when its health checks have failed.");
  each([&](const auto& one, Labels labels) { out.add(one.standing != Standing::kDown, std::move(labels)); });
  out.begin(MetricType::Gauge, "backend_draining", "Whether a server gets no new users, by an action.");
  each([&](const auto& one, Labels labels) { out.add(one.draining, std::move(labels)); });
  out.begin(MetricType::Gauge, "backend_connections_limit", "max_connections of a server, 0 for none.");
  each([&](const auto& one, Labels labels) { out.add(one.max_connections, std::move(labels)); });
  out.begin(MetricType::Gauge, "backend_connections_waiting", "Who waits for a connection to a full server.");
  each([&](const auto& one, Labels labels) { out.add(one.waiting, std::move(labels)); });
  out.begin(MetricType::Counter, "backend_connects_total", "Connections that were opened.");
  each([&](const auto& one, Labels labels) { out.add(one.connects, std::move(labels)); });
  out.begin(MetricType::Counter, "backend_connect_failures_total", "Connections that could not be opened.");
  each([&](const auto& one, Labels labels) { out.add(one.failures, std::move(labels)); });
  out.begin(MetricType::Counter, "backend_downs_total", "How often a server was found to be down.");
  each([&](const auto& one, Labels labels) { out.add(one.times_down, std::move(labels)); });
  out.begin(MetricType::Gauge, "backend_connect_seconds",
            "Until a server has taken a connection and said what it can, a moving average.");
  each([&](const auto& one, Labels labels) {
    if (one.connect_time) out.add(static_cast<double>(one.connect_time->count()) / 1e6, std::move(labels));
  });
  out.begin(MetricType::Gauge, "backend_answer_seconds",
            "From a command to the first octet of its answer, a moving average.");
  each([&](const auto& one, Labels labels) {
    if (one.answer_time) out.add(static_cast<double>(one.answer_time->count()) / 1e6, std::move(labels));
  });
}

void add_connections(Families& out, const session::Snapshot& snapshot) {
  const auto& totals = snapshot.all.totals;
  std::map<std::string, uint64_t> of_backend;
  std::map<mailbox::AccountTotals::Key, uint64_t> seen;
  out.begin(
      MetricType::Gauge, "backend_connections",
      "Connections to a server by state: free, busy, idling (IDLE), relaying, changing (being opened or "
      "closed).");
  for (const auto& [key, states] : totals.connections) {
    for (size_t i = 0; i < mailbox::kConnectionStates; ++i) {
      seen[key] += states.in[i];
      out.add(states.in[i], {{"backend", key.first},
                             {"server", key.second},
                             {"state", std::string(name_of(static_cast<mailbox::ConnectionState>(i)))}});
    }
    of_backend[key.first] += seen[key];
  }
  for (const auto& one : snapshot.servers) {
    const uint64_t settled = seen[{one.backend, one.server}];
    out.add(one.connections > settled ? one.connections - settled : 0,
            {{"backend", one.backend}, {"server", one.server}, {"state", "changing"}});
  }
  out.begin(MetricType::Gauge, "backend_sessions", "Mail clients that are logged in, by backend.");
  for (const auto& [backend, count] : totals.sessions) out.add(count, {{"backend", backend}});
  out.begin(MetricType::Gauge, "shared_ratio", "Mail clients for each backend connection.");
  for (const auto& [backend, count] : totals.sessions)
    if (of_backend[backend] > 0)
      out.add(static_cast<double>(count) / static_cast<double>(of_backend[backend]), {{"backend", backend}});
}

void add_mailboxes(Families& out, const session::Snapshot& snapshot) {
  const auto& totals = snapshot.all.totals;
  const auto& meters = snapshot.meters;
  out.begin(MetricType::Gauge, "accounts", "Users of backends whose sessions share, or had shared lately.")
      .add(totals.accounts);
  out.begin(MetricType::Gauge, "mailboxes",
            "Mailboxes that clients have open: attached to a backend connection, or suspended.")
      .add(totals.mailboxes_attached, {{"state", "attached"}})
      .add(totals.mailboxes_suspended, {{"state", "suspended"}});
  out.begin(MetricType::Gauge, "ghosts",
            "Messages that are gone at the backend, counted for each client that was not told of it yet.")
      .add(totals.ghosts);
  out.begin(MetricType::Gauge, "leases_held", "Leases of mailboxes that are held.").add(snapshot.leases_held);
  out.begin(MetricType::Gauge, "leases_waiting", "Who waits for a lease.").add(snapshot.leases_waiting);
  out.begin(MetricType::Histogram, "lease_wait_seconds",
            "How long leases were waited for, by outcome; those that were free count with 0.")
      .add(meters.leases_granted, {{"outcome", "granted"}})
      .add(meters.leases_refused, {{"outcome", "refused"}});
  out.begin(MetricType::Counter, "in_use_answers_total", "Mailboxes that a client was refused as in use.")
      .add(snapshot.in_use);
  out.begin(
         MetricType::Counter, "resynchronisations_total",
         "Mailboxes with clients that were opened on the backend again, by how the difference became known: "
         "caught_up (EXISTS and UIDNEXT), read_again (all UIDs), began_anew (clients were disconnected).")
      .add(meters.caught_up, {{"how", "caught_up"}})
      .add(meters.read_again, {{"how", "read_again"}})
      .add(meters.began_anew, {{"how", "began_anew"}});
  out.begin(MetricType::Counter, "contradictions_total",
            "Backends' answers that contradict what they have said of a mailbox.")
      .add(meters.contradictions);
}

void add_traffic(Families& out, const session::Snapshot& snapshot) {
  const std::pair<std::string, const session::Readings::Side*> sides[] = {
      {"client", &snapshot.meters.clients}, {"backend", &snapshot.meters.backends}};
  out.begin(MetricType::Counter, "received_bytes_total", "What came in on the wire, by side.");
  for (const auto& [name, side] : sides) out.add(side->received, {{"side", name}});
  out.begin(MetricType::Counter, "sent_bytes_total", "What went out on the wire, by side.");
  for (const auto& [name, side] : sides) out.add(side->sent, {{"side", name}});
  out.begin(MetricType::Counter, "tls_handshakes_total", "TLS handshakes by side and outcome.");
  for (const auto& [name, side] : sides)
    out.add(side->full_handshakes, {{"side", name}, {"outcome", "full"}})
        .add(side->resumed_handshakes, {{"side", name}, {"outcome", "resumed"}})
        .add(side->failed_handshakes, {{"side", name}, {"outcome", "failed"}});
  out.begin(MetricType::Gauge, "spooled_bytes", "What waits in spools, in memory and on disk.")
      .add(snapshot.spooled);
  out.begin(MetricType::Gauge, "spool_limit_bytes", "max_spool.").add(snapshot.most_spooled);
  out.begin(MetricType::Counter, "spooled_bytes_total", "What went through spools.")
      .add(snapshot.meters.spooled);
}

void add_process(Families& out, const session::Snapshot& snapshot, const ProcessFacts& process) {
  out.begin(MetricType::Gauge, "build_info", "1; the version is the label.")
      .add(1, {{"version", snapshot.version}, {"compiler", __VERSION__}});
  out.begin(MetricType::Gauge, "workers", "Event-loop threads.").add(snapshot.workers);
  out.begin(MetricType::Gauge, "ready", "What /readyz says.").add(snapshot.ready);
  out.begin_process(MetricType::Counter, "cpu_seconds_total", "CPU time of the process.")
      .add(process.cpu_seconds);
  out.begin_process(MetricType::Gauge, "start_time_seconds", "When it started, in seconds since 1970.")
      .add(process.started_at);
  out.begin_process(MetricType::Gauge, "resident_memory_bytes", "Memory that it has.")
      .add(process.resident_octets);
  out.begin_process(MetricType::Gauge, "virtual_memory_bytes", "Addresses that it has.")
      .add(process.virtual_octets);
  out.begin_process(MetricType::Gauge, "open_fds", "Descriptors that are open.")
      .add(process.open_descriptors);
  out.begin_process(MetricType::Gauge, "max_fds", "How many may be.").add(process.most_descriptors);
}

}  // namespace

std::string to_metrics(const session::Snapshot& snapshot, const ProcessFacts& process) {
  Families out;
  add_clients(out, snapshot);
  add_commands(out, snapshot.meters);
  add_servers(out, snapshot);
  add_connections(out, snapshot);
  add_mailboxes(out, snapshot);
  add_traffic(out, snapshot);
  add_process(out, snapshot, process);
  return out.text();
}

}  // namespace imapmux::admin
