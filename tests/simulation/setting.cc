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
  backend.connections_per_user = 16;
  backend.lease_wait = Millis(20'000);
  if (!rules.shared()) {  // nobody waits in vain
    backend.yield_after = Millis(300);
    backend.max_hold = Millis(1'000);
    backend.min_hold = Millis(100);
  }
  backend.poll_interval = Millis(5'000);
  config->backends[backend.name] = std::move(backend);
  config::Route route;
  route.backend = "legacy";
  config->routes.push_back(std::move(route));
  config->limits.auth_failure_delay = Millis(20);
  return config;
}

}  // namespace imapmux::simulation
