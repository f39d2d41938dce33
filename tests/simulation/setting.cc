#include "simulation/setting.h"

#include <fmt/core.h>

#include <memory>

#include "simulation/mail_text.h"

namespace imapmux::simulation {

using base::Millis;

demo::Quirks any_quirks(Random& random) {
  demo::Quirks quirks;
  quirks.second_session = static_cast<demo::SecondSession>(random.below(4));
  quirks.status_of_selected = static_cast<demo::StatusOfSelected>(random.below(3));
  quirks.has_unselect = random.percent(70);
  quirks.has_idle = random.percent(70);
  quirks.idle_pushes = random.percent(70);
  quirks.has_literal_plus = random.percent(70);
  quirks.has_uidplus = random.percent(70);
  quirks.has_move = random.percent(70);
  quirks.has_namespace = random.percent(70);
  return quirks;
}

Rules any_rules(Random& random, Access access, size_t users) {
  Rules rules;
  rules.access = access;
  if (!rules.shared()) {
    rules.cuts = random.percent(30);
    return rules;
  }
  rules.most_of_user = random.between(1, 3);
  if (random.percent(20)) {
    const auto wanted = static_cast<uint32_t>(users) * rules.most_of_user;
    rules.most_in_all = random.between(rules.most_of_user, wanted);
  }
  rules.cuts = random.percent(30);
  rules.restarts = random.percent(25);
  rules.silences = random.percent(20);
  rules.renewals = random.percent(30);
  rules.sticky = random.percent(75);
  rules.refusals = random.percent(25);
  if (rules.silences) rules.command_timeout = Millis(15'000);
  return rules;
}

std::string describe(const Rules& rules) {
  if (!rules.shared()) return "access=exclusive";
  std::string text = fmt::format("access=shared K={}", rules.most_of_user);
  if (rules.most_in_all > 0) text += fmt::format(" max={}", rules.most_in_all);
  if (rules.cuts) text += " cuts";
  if (rules.restarts) text += " restarts";
  if (rules.silences) text += " silences";
  if (rules.renewals) text += " renewals";
  if (rules.refusals) text += " refusals";
  if (!rules.sticky) text += " uidnext-unreliable";
  return text;
}

std::string describe(const demo::Quirks& quirks) {
  static constexpr std::string_view kSecond[] = {"allowed", "refused", "severs", "read-only"};
  static constexpr std::string_view kStatus[] = {"fine", "kills", "stale"};
  std::string text = fmt::format("second={} status={}", kSecond[static_cast<size_t>(quirks.second_session)],
                                 kStatus[static_cast<size_t>(quirks.status_of_selected)]);
  const auto lacks = [&](bool has, std::string_view name) {
    if (!has) text += fmt::format(" no-{}", name);
  };
  lacks(quirks.has_unselect, "unselect");
  lacks(quirks.has_idle, "idle");
  lacks(quirks.idle_pushes, "idle-push");
  lacks(quirks.has_literal_plus, "literal+");
  lacks(quirks.has_uidplus, "uidplus");
  lacks(quirks.has_move, "move");
  lacks(quirks.has_namespace, "namespace");
  return text;
}

std::string password_of(const std::string& user) {
  return "secret-of-" + user;
}

demo::ServerOptions server_options(const demo::Quirks& quirks, const std::vector<std::string>& users) {
  demo::ServerOptions options;
  options.quirks = quirks;
  options.first_uid_validity = 1000;
  for (const auto& user : users) options.users[user] = password_of(user);
  options.furnish = [](demo::MailStore& store, const std::string& user) {
    for (const auto& mailbox : kMailboxes) store.create(user, mailbox);
  };
  return options;
}

config::ConfigPtr proxy_config(const Rules& rules) {
  auto config = std::make_shared<config::Config>();
  config::Listener listener;
  listener.name = "imap";
  config->listeners.push_back(listener);
  config::Backend backend;
  backend.name = "legacy";
  backend.servers.push_back({"backend.example", 143, {}});
  backend.access = rules.shared() ? config::MailboxAccess::kShared : config::MailboxAccess::kExclusive;
  backend.connections_per_user = rules.most_of_user;
  backend.max_connections = rules.most_in_all;
  backend.lease_wait = Millis(60'000);
  backend.poll_interval = rules.poll_interval;
  backend.backend_wait = rules.backend_wait;
  backend.uid_next = rules.sticky ? config::UidNext::kSticky : config::UidNext::kUnreliable;
  backend.command_timeout = rules.command_timeout;
  if (!rules.shared()) {  // nobody waits in vain
    backend.yield_after = Millis(300);
    backend.max_hold = Millis(1'000);
    backend.min_hold = Millis(100);
  }
  config->backends[backend.name] = std::move(backend);
  config::Route route;
  route.backend = "legacy";
  config->routes.push_back(std::move(route));
  config->limits.auth_failure_delay = Millis(20);
  return config;
}

}  // namespace imapmux::simulation
