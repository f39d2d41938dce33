// Who left a server that was down is brought back: when it is up, when he has no connection, one a second.
#include <gtest/gtest.h>

#include "backend/backend_servers.h"

namespace imapmux::backend {
namespace {

using base::Instant;
using base::Millis;

struct DisplacedUsersTest : testing::Test {
  DisplacedUsersTest() {
    config::Backend& backend = config->backends["old"];
    backend.name = "old";
    for (const std::string host : {"a", "b"})
      backend.servers.push_back({.host = host, .port = 143, .path = ""});
    servers = BackendServers::make(config, backend, known);
    for (int i = 0; at_a.size() < 3 || at_b.empty(); ++i) {
      const auto user = "user" + std::to_string(i);
      (host(user, 0) == "a" ? at_a : at_b).push_back(user);
    }
  }
  static Instant at(int millis) { return Instant(Millis(1'000'000 + millis)); }
  // Where a connection that he opens now goes to.
  std::string host(const std::string& user, int millis) const {
    return servers->choose(user, at(millis)).front()->endpoint.host;
  }
  // He opens one, and has it for as long as what is returned.
  UsersThere::Stay open(const std::string& user, int millis) const {
    const auto server = servers->choose(user, at(millis)).front();
    servers->settled(user, *server);
    return UsersThere::enter(server->users, user);
  }
  BackendServers::Server& server(size_t i) const { return *servers->servers()[i]; }

  std::shared_ptr<KnownServers> known = std::make_shared<KnownServers>();
  std::shared_ptr<config::Config> config = std::make_shared<config::Config>();
  std::shared_ptr<BackendServers> servers;
  std::vector<std::string> at_a;  // who belongs there
  std::vector<std::string> at_b;
};

TEST_F(DisplacedUsersTest, OneASecondGoesBack) {
  servers->failed(server(0), at(0), "no");
  for (const auto& user : at_a) open(user, 0);
  EXPECT_TRUE(servers->is_displaced(at_a[0]));
  servers->succeeded(server(0), at(500));
  EXPECT_EQ(host(at_a[0], 500), "a") << "the first at once";
  EXPECT_EQ(host(at_a[1], 500), "b");
  EXPECT_EQ(host(at_a[2], 1'499), "b");
  EXPECT_EQ(host(at_a[2], 1'500), "a");
  EXPECT_EQ(host(at_a[1], 1'501), "b");
  EXPECT_EQ(host(at_a[1], 2'500), "a");
  EXPECT_FALSE(servers->is_displaced(at_a[1]));
  EXPECT_EQ(host(at_b[0], 500), "b") << "who never left is not concerned";
}

TEST_F(DisplacedUsersTest, NotWhileHeHasAConnection) {
  servers->failed(server(0), at(0), "no");
  auto connection = open(at_a[0], 0);
  servers->succeeded(server(0), at(500));
  EXPECT_EQ(host(at_a[0], 5'000), "b") << "all of his are to one server";
  auto further = open(at_a[0], 6'000);
  connection = {};
  EXPECT_EQ(host(at_a[0], 7'000), "b");
  further = {};
  EXPECT_EQ(host(at_a[0], 7'000), "a");
}

TEST_F(DisplacedUsersTest, NotToAServerThatIsDownOrDrained) {
  server(0).draining = true;
  open(at_a[0], 0);
  EXPECT_EQ(host(at_a[0], 5'000), "b");
  server(0).draining = false;
  servers->failed(server(0), at(5'000), "no");
  EXPECT_EQ(host(at_a[0], 5'500), "b");
  servers->succeeded(server(0), at(6'000));
  EXPECT_EQ(host(at_a[0], 6'000), "a");
}

TEST_F(DisplacedUsersTest, WhereHeIsMayFailAsWell) {
  servers->failed(server(0), at(0), "no");
  auto connection = open(at_a[0], 0);
  servers->succeeded(server(0), at(500));
  servers->failed(server(1), at(600), "somebody else was turned away");
  EXPECT_EQ(host(at_a[0], 600), "b");
  config->backends["old"].health_check = config::HealthCheck{.fall = 1};
  servers->failed(server(1), at(700), "no");
  EXPECT_EQ(host(at_a[0], 700), "a");
}

TEST_F(DisplacedUsersTest, AReloadKeepsThem) {
  servers->failed(server(0), at(0), "no");
  for (const auto& user : at_a) open(user, 0);
  servers->succeeded(server(0), at(500));
  EXPECT_EQ(host(at_a[0], 500), "a");
  servers = BackendServers::make(config, config->backends["old"], known);
  EXPECT_EQ(host(at_a[1], 501), "b");
  EXPECT_EQ(host(at_a[1], 1'500), "a");
}

}  // namespace
}  // namespace imapmux::backend
