#include "routing/router.h"

#include <gtest/gtest.h>

#include <map>

#include "config/config_loader.h"
#include "routing/pattern.h"

namespace imapmux::routing {
namespace {

// Routes and, where needed, users files as the loader would give them.
template <class... Routes>
config::ConfigPtr with_routes(Routes... routes) {
  auto config = std::make_shared<config::Config>();
  for (const char* name : {"legacy", "other"}) {
    config::Backend& backend = config->backends[name];
    backend.name = name;
    backend.servers = {{.host = std::string(name) + "1", .port = 143, .path = {}},
                       {.host = std::string(name) + "2", .port = 143, .path = {}}};
  }
  int line = 10;
  (config->routes.push_back(std::move(routes)), ...);
  for (config::Route& route : config->routes) route.line = line++;
  return config;
}

config::Route to(const std::string& backend) {
  config::Route route;
  route.backend = backend;
  return route;
}

config::Route for_user(const std::string& pattern, const std::string& login_as = {}) {
  config::Route route = to("legacy");
  route.user = pattern;
  route.login_as = login_as;
  return route;
}

std::string routed(const config::ConfigPtr& config, const LoginFacts& facts) {
  const auto target = route(*config, facts);
  return target ? target->backend->name + " as " + target->login_name : "refused";
}

std::string login_as(const std::string& placeholders, std::string_view user) {
  return routed(with_routes(for_user("*", placeholders)), {.user = user});
}

TEST(Pattern, Matches) {
  for (const auto& [pattern, text] : std::multimap<std::string, std::string>{{"", ""},
                                                                             {"*", ""},
                                                                             {"*", "bob"},
                                                                             {"**", "bob"},
                                                                             {"bob", "BOB"},
                                                                             {"B?b", "bob"},
                                                                             {"*@x.org", "a@b@X.org"},
                                                                             {"a*b*c", "aXbXbYc"},
                                                                             {"?", "\xc3\xbc"},
                                                                             {"*?", "b"},
                                                                             {"b*", "b"},
                                                                             {"*a*a*b", "aaaaaab"}}) {
    EXPECT_TRUE(matches_pattern(pattern, text)) << pattern << " " << text;
  }
  for (const auto& [pattern, text] : std::multimap<std::string, std::string>{{"", "b"},
                                                                             {"?", ""},
                                                                             {"?", "bo"},
                                                                             {"bob", "bobby"},
                                                                             {"*@x.org", "a@x.org.evil"},
                                                                             {"a*b", "ac"},
                                                                             {"*?", ""},
                                                                             {"[ab]", "a"},
                                                                             {"b", ""}}) {
    EXPECT_FALSE(matches_pattern(pattern, text)) << pattern << " " << text;
  }
}

TEST(Pattern, TakesNoExponentialTime) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_FALSE(matches_pattern(pattern + "b", std::string(8000, 'a')));
}

TEST(Router, FirstMatchWins) {
  const auto config = with_routes(for_user("*@old.example.org", "{local}"), to("other"));
  EXPECT_EQ("legacy as Bob", routed(config, {.user = "Bob@OLD.example.org"}));
  EXPECT_EQ("other as bob@new.example.org", routed(config, {.user = "bob@new.example.org"}));
  EXPECT_EQ("refused", routed(with_routes(for_user("a*")), {.user = "bob"}));
  EXPECT_EQ("refused", routed(with_routes(), {.user = "bob"}));
}

TEST(Router, EveryConditionMustHold) {
  config::Route route = to("legacy");
  route.listener = "imaps";
  route.source = {*base::Network::parse("10.0.0.0/8"), *base::Network::parse("fd00::/8")};
  route.sni = "mail.*";
  const auto config = with_routes(std::move(route));
  const auto inside = base::IpAddress::parse("10.1.2.3");
  EXPECT_EQ("legacy as b", routed(config, {"b", "imaps", inside, "MAIL.example.org"}));
  EXPECT_EQ("legacy as b", routed(config, {"b", "imaps", base::IpAddress::parse("fd00::1"), "mail.x"}));
  EXPECT_EQ("refused", routed(config, {"b", "imap", inside, "mail.x"}));
  EXPECT_EQ("refused", routed(config, {"b", "imaps", base::IpAddress::parse("11.0.0.1"), "mail.x"}));
  EXPECT_EQ("refused", routed(config, {"b", "imaps", std::nullopt, "mail.x"}));
  EXPECT_EQ("refused", routed(config, {"b", "imaps", inside, "imap.x"}));
  EXPECT_EQ("refused", routed(config, {"b", "imaps", inside, ""}));
}

TEST(Router, AnySniStillNeedsOne) {
  config::Route route = to("legacy");
  route.sni = "*";
  EXPECT_EQ("refused", routed(with_routes(std::move(route)), {.user = "b"}));
}

TEST(Router, UsersFiles) {
  config::Route file;
  file.users_file = "/etc/imapmux/users.yaml";
  file.login_as = "{local}";
  file.users = {{"bob@x.org", {"other", "robert"}}, {"ann@x.org", {"other", ""}}};
  const auto config = with_routes(std::move(file), to("legacy"));
  EXPECT_EQ("other as robert", routed(config, {.user = "BOB@x.org"}));
  EXPECT_EQ("other as ann", routed(config, {.user = "ann@x.org"}));
  EXPECT_EQ("legacy as carl@x.org", routed(config, {.user = "carl@x.org"}));
}

TEST(Router, UserNamesWithControlCharactersAreRefused) {
  const auto config = with_routes(to("legacy"));
  for (const std::string& user : {std::string(), std::string("a\r\nb"), std::string("a\0", 2),
                                  std::string("a\x7f"), std::string("\t")}) {
    EXPECT_EQ("refused", routed(config, {.user = user}));
  }
  EXPECT_EQ("legacy as J\xc3\xbcrgen", routed(config, {.user = "J\xc3\xbcrgen"}));
}

TEST(Router, LoginNames) {
  EXPECT_EQ("legacy as a@b", login_as("", " a@b  "));
  EXPECT_EQ("legacy as a@b", login_as("{user}", "a@b"));
  EXPECT_EQ("legacy as a", login_as("{local}", "a@b"));
  EXPECT_EQ("legacy as b", login_as("{domain}", "a@b"));
  EXPECT_EQ("legacy as b/a+x", login_as("{domain}/{local}+x", "a@b"));
  EXPECT_EQ("legacy as a@b", login_as("{local}", "a@b@c"));
  EXPECT_EQ("legacy as bob", login_as("{local}", "bob"));
  EXPECT_EQ("legacy as bob", login_as(" {local} {domain}", "bob"));
  EXPECT_EQ("refused", login_as("{domain}", "bob"));
  EXPECT_EQ("refused", login_as("", "   "));
  EXPECT_EQ("legacy as {user}", login_as("{local}", "{user}@b"));  // what a user sends is no placeholder
}

TEST(Router, Reasons) {
  EXPECT_EQ("route 2 (line 11): user *@x matches",
            route(*with_routes(for_user("a"), for_user("*@x")), {.user = "b@x"})->reason);
  EXPECT_EQ("route 1 (line 10): matches everybody", route(*with_routes(to("legacy")), {.user = "b"})->reason);
}

config::Backend with_servers(int count) {
  config::Backend backend;
  for (int i = 1; i <= count; ++i)
    backend.servers.push_back({"old" + std::to_string(i) + ".example.org", 143, {}});
  return backend;
}

// These values are what users are spread by: if they change, users move.
TEST(ServerPreference, NeverChanges) {
  const config::Backend backend = with_servers(4);
  EXPECT_EQ((std::vector<size_t>{3, 0, 2, 1}), server_preference(backend, "bob"));
  EXPECT_EQ((std::vector<size_t>{3, 2, 1, 0}), server_preference(backend, "alice@example.org"));
  EXPECT_EQ((std::vector<size_t>{0, 1, 2, 3}), server_preference(backend, ""));
}

TEST(ServerPreference, CaseDoesNotMatter) {
  const config::Backend backend = with_servers(5);
  EXPECT_EQ(server_preference(backend, "bob"), server_preference(backend, "BOB"));
  config::Backend upper = with_servers(5);
  for (auto& server : upper.servers) server.host = base::upper(server.host);
  EXPECT_EQ(server_preference(backend, "bob"), server_preference(upper, "bob"));
}

TEST(ServerPreference, SpreadsEvenly) {
  const config::Backend backend = with_servers(4);
  std::map<size_t, int> homes;
  for (int i = 0; i < 8000; ++i) ++homes[server_preference(backend, "user" + std::to_string(i))[0]];
  for (const auto& [server, users] : homes) EXPECT_NEAR(2000, users, 200) << server;
}

TEST(ServerPreference, OnlyTheShareOfANewServerMoves) {
  const config::Backend before = with_servers(4);
  const config::Backend after = with_servers(5);
  int moved = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::string user = "user" + std::to_string(i);
    const size_t home = server_preference(after, user)[0];
    if (home == server_preference(before, user)[0]) continue;
    EXPECT_EQ(4U, home) << user;
    ++moved;
  }
  EXPECT_NEAR(1000, moved, 150);
}

TEST(ServerPreference, OrderOfTheListDoesNotMatter) {
  const config::Backend backend = with_servers(3);
  config::Backend turned = with_servers(3);
  std::swap(turned.servers[0], turned.servers[2]);
  for (const std::string user : {"a", "b", "c", "d", "e"}) {
    EXPECT_EQ(backend.servers[server_preference(backend, user)[0]],
              turned.servers[server_preference(turned, user)[0]]);
  }
}

TEST(Explain, TellsTheWholeWay) {
  config::Route file;
  file.users_file = "users.yaml";
  config::Route secure = to("legacy");
  secure.listener = "imaps";
  const auto config =
      with_routes(std::move(file), std::move(secure), for_user("a*"), for_user("*@x", "{local}"));
  const std::string text = explain(*config, {.user = "bob@x", .listener = "imap"});
  EXPECT_EQ(
      "user bob@x:\n"
      "  not route 1 (line 10): no entry in users.yaml\n"
      "  not route 2 (line 11): only for listener imaps\n"
      "  not route 3 (line 12): user a* does not match\n"
      "  route 4 (line 13): user *@x matches\n"
      "  backend: legacy\n"
      "  login name: bob\n",
      text.substr(0, text.find("  server 1")));
  EXPECT_NE(std::string::npos, text.find("home: the first by the hash"));
  EXPECT_NE(std::string::npos, text.find("when those before it are down"));
}

TEST(Explain, TellsRefusals) {
  EXPECT_EQ("user b:\n  not route 1 (line 10): user a does not match\n  refused: no route matches\n",
            explain(*with_routes(for_user("a")), {.user = "b"}));
  EXPECT_EQ("user a?b:\n  refused: the user name is empty or has control characters\n",
            explain(*with_routes(to("legacy")), {.user = "a\nb"}));
}

TEST(Explain, TellsOfAServiceThatIsAsked) {
  const auto result = config::load_text(
      "backends: {a: {tls: none}}\n"
      "routes:\n"
      "  - {auth_http: 'http://127.0.0.1:9000/auth', backend: a}\n",
      "c.yaml", ".");
  ASSERT_NE(nullptr, result.config);
  EXPECT_EQ(explain(*result.config, {.user = "u"}),
            "user u:\n"
            "  route 1 (line 3): matches everybody\n"
            "  backend: a\n"
            "  login name: u\n"
            "  as http://127.0.0.1:9000/auth says, which may refuse the login, or name another server or "
            "login name\n");
}

// What the loader makes of a file and what the router makes of that, together.
TEST(Router, RoutesOfAFile) {
  const auto result = config::load_text(
      "backends: {a: {servers: [h]}, b: {servers: [h]}}\n"
      "routes:\n"
      "  - {user: '*@x.org', backend: a, login_as: '{local}'}\n"
      "  - backend: b\n",
      "c.yaml", ".");
  ASSERT_NE(nullptr, result.config);
  EXPECT_EQ("a as u", routed(result.config, {.user = "u@x.org"}));
  EXPECT_EQ("route 2 (line 4): matches everybody", route(*result.config, {.user = "v"})->reason);
}

}  // namespace
}  // namespace imapmux::routing
