// Octets go both ways untouched; what the proxy says of its own accord never stands inside a response; and
// all that a relay has taken is given back when it ends, what belongs to the backend not before that has
// closed.
#include "session/relay.h"

#include <gtest/gtest.h>

#include "async/task_scope.h"
#include "base/log_recording.h"
#include "support/memory_stream.h"

namespace imapmux::session {
namespace {

using base::Millis;
using testing_support::MemoryPeer;
using testing_support::VirtualScheduler;

constexpr Millis kIdleTimeout{60'000};

// The worker, and both ends of the relay.
class RelayTest : public testing::Test, public RelayKeeper {
 protected:
  RelayTest() {
    config::Backend& backend = config_->backends["legacy"];
    backend.name = "legacy";
    backend.servers.push_back({.host = "old.example.org", .port = 143, .path = ""});
    listener_->name = "imap";
    client_.facts().address = base::IpAddress::parse("192.0.2.7");
    client_.facts().port = 50123;
  }
  ~RelayTest() override {
    if (relay_) relay_->cut_off();
    pass(Millis(10'000));
  }

  // A client that has just logged in.
  void begin(std::string_view from_client = {}, std::string_view from_backend = {},
             bool has_finished = false) {
    auto servers = backend::BackendServers::make(config_, config_->backends.at("legacy"),
                                                 std::make_shared<backend::KnownServers>());
    auto server = servers->servers().front();
    limit_ = server->limit;
    EXPECT_TRUE(limit_->try_acquire());
    account_ = std::make_shared<mailbox::Account>("legacy", "bob@old");
    Relay::Client client{.stream = client_.stream(),
                         .trace = nullptr,
                         .places = {},
                         .listener = listener_,
                         .user = "bob",
                         .id = 31,
                         .connected_at = clock_.now(),
                         .idle_timeout = kIdleTimeout,
                         .received = 20,
                         .sent = 30,
                         .commands = 1,
                         .has_finished = has_finished};
    client.places.of_user = *users_.take("bob", 1);
    Relay::Backend backend{.stream = backend_.stream(),
                           .permit = backend::ConnectionLimit::Permit(limit_),
                           .stay = {},
                           .slot = mailbox::Account::Slot(account_),
                           .server = std::move(server),
                           .servers = std::move(servers)};
    auto relay = std::make_unique<Relay>(*this, clock_, std::move(client), std::move(backend));
    auto& begun = *relay;
    keep(std::move(relay));
    begun.begin(from_client, from_backend);
  }

  void pass(Millis time) { clock_.advance(time); }
  void run() { clock_.run_ready(); }
  bool has_ended() const { return !relay_; }
  std::string client_got() { return client_.take_written(); }
  std::string backend_got() { return backend_.take_written(); }
  size_t connections() const { return limit_->in_use(); }

  VirtualScheduler clock_;
  MemoryPeer client_;
  MemoryPeer backend_;
  ClientCounts users_;
  std::shared_ptr<backend::ConnectionLimit> limit_;
  std::shared_ptr<mailbox::Account> account_;
  Relay* relay_ = nullptr;
  base::log::Recording log_;

 private:
  void keep(std::unique_ptr<Relay> relay) override { relay_ = relay.release(); }
  void relay_ended(Relay& relay) override {
    ASSERT_EQ(&relay, relay_) << "told once";
    tasks_.spawn(finish(std::unique_ptr<Relay>(relay_)));
  }
  async::Task<> finish(std::unique_ptr<Relay> relay) {
    co_await relay->finish();
    relay_ = nullptr;
  }

  std::shared_ptr<config::Config> config_ = std::make_shared<config::Config>();
  std::shared_ptr<config::Listener> listener_ = std::make_shared<config::Listener>();
  async::TaskScope tasks_{clock_};
};

TEST_F(RelayTest, EveryOctetGoesThroughBothWays) {
  using namespace std::string_literals;
  begin("a2 X\r\n\0half"s, "* OK behind the login\r\n");
  EXPECT_EQ(backend_got(), "a2 X\r\n\0half"s);
  EXPECT_EQ(client_got(), "* OK behind the login\r\n");
  client_.feed("\r\nmore\0"s);
  backend_.feed("a2 OK \xff\n\0"s);
  EXPECT_EQ(backend_got(), "\r\nmore\0"s);
  EXPECT_EQ(client_got(), "a2 OK \xff\n\0"s);
}

TEST_F(RelayTest, ItSaysWhoItIs) {
  begin();
  client_.feed("a2 IDLE\r\n");
  pass(Millis(3'000));
  const auto status = relay_->status();
  EXPECT_EQ(status.id, 31U);
  EXPECT_EQ(status.client, "192.0.2.7:50123");
  EXPECT_EQ(status.listener, "imap");
  EXPECT_EQ(status.state, "relaying");
  EXPECT_EQ(status.user, "bob");
  EXPECT_EQ(status.login_name, "bob@old");
  EXPECT_EQ(status.backend, "legacy");
  EXPECT_EQ(status.server, "old.example.org:143");
  EXPECT_EQ(status.commands, 1U);
  EXPECT_EQ(status.idle, Millis(3'000));
  EXPECT_EQ(relay_->account(), (mailbox::AccountSet{"legacy", "bob@old"}));
}

TEST_F(RelayTest, WhoReadsSlowlyHoldsUpNobodyElse) {
  begin();
  client_.jam(net::Stream::kHighWatermark + 1);
  backend_.feed("* 1 FETCH …\r\n");
  EXPECT_FALSE(backend_.reading());
  EXPECT_TRUE(client_.reading());
  client_.drain_to(0);
  EXPECT_TRUE(backend_.reading());

  backend_.jam(net::Stream::kHighWatermark + 1);
  client_.feed("a2 APPEND …\r\n");
  EXPECT_FALSE(client_.reading());
  EXPECT_TRUE(backend_.reading());
  backend_.drain_to(0);
  EXPECT_TRUE(client_.reading());
}

TEST_F(RelayTest, WhoSaysNothingForTooLongIsTold) {
  begin();
  pass(kIdleTimeout / 2);
  client_.feed("a2 IDLE\r\n");  // counts
  pass(kIdleTimeout - Millis(1));
  backend_.feed("* OK Still here\r\n");  // does not
  EXPECT_EQ(client_got(), "* OK Still here\r\n");
  pass(Millis(1));
  EXPECT_EQ(client_got(), "* BYE Idle for too long\r\n");
  EXPECT_TRUE(client_.closed());
}

TEST_F(RelayTest, WhoTakesInALongAnswerIsNotIdle) {
  begin();
  pass(kIdleTimeout / 2);
  client_.drain_to(0);
  pass(kIdleTimeout / 2);
  EXPECT_FALSE(client_.closed());
  pass(kIdleTimeout / 2);
  EXPECT_TRUE(client_.closed());
}

TEST_F(RelayTest, InsideAResponseNothingIsSaid) {
  for (const std::string_view inside :
       {"* 1 FETCH (BODY[] {100}\r\n", "* 1 FETCH (BODY[] {100}\r\nhello\r\n", "* 2 FET"}) {
    begin({}, inside);
    client_got();
    relay_->kick();
    EXPECT_EQ(client_got(), "") << inside;
    backend_.eof();
    run();
    EXPECT_EQ(client_got(), "") << inside;
    EXPECT_TRUE(client_.closed());
    EXPECT_TRUE(has_ended());
    client_ = MemoryPeer();
    backend_ = MemoryPeer();
  }
}

TEST_F(RelayTest, WhoIsKickedIsTold) {
  begin({}, "* 3 EXISTS\r\n+ idling\r\n");
  relay_->kick();
  run();
  EXPECT_EQ(client_got(), "* 3 EXISTS\r\n+ idling\r\n* BYE Disconnected by the administrator\r\n");
  EXPECT_TRUE(client_.closed());
}

TEST_F(RelayTest, AtShutdownTheResponseAtHandIsFinished) {
  begin({}, "* 1 FETCH (BODY[] {9}\r\nhel");
  relay_->shut_down();
  run();
  EXPECT_TRUE(relay_->stopping());
  backend_.feed("lo\r\n\r\n)\r\n");
  run();
  EXPECT_FALSE(client_.closed());
  client_got();
  backend_.feed("a2 OK done\r\n");
  run();
  EXPECT_EQ(client_got(), "a2 OK done\r\n* BYE [UNAVAILABLE] The proxy is shutting down\r\n");
  EXPECT_TRUE(client_.closed());
}

TEST_F(RelayTest, AtTheEndOfTheGraceItIsCutOff) {
  begin({}, "* 1 FETCH (BODY[] {9}\r\nhel");
  client_got();
  relay_->shut_down();
  relay_->cut_off();
  relay_->cut_off();
  run();
  EXPECT_EQ(client_got(), "");
  EXPECT_TRUE(client_.closed());
}

TEST_F(RelayTest, WhenTheBackendGoesTheClientIsTold) {
  begin();
  backend_.lose("connection reset by peer");
  run();
  EXPECT_EQ(client_got(), "* BYE [UNAVAILABLE] The mail server has gone\r\n");
  EXPECT_TRUE(has_ended());
  ASSERT_EQ(log_.lines().size(), 1U);
  EXPECT_NE(log_.lines()[0].find("connection reset by peer"), std::string::npos);
}

TEST_F(RelayTest, ABackendThatSaidByeHasToldIt) {
  begin();
  client_.feed("a2 LOGOUT\r\n");
  backend_.feed("* BYE\r\na2 OK Logged out\r\n");
  backend_.eof();
  run();
  EXPECT_EQ(client_got(), "* BYE\r\na2 OK Logged out\r\n");
  EXPECT_TRUE(has_ended());
  ASSERT_EQ(log_.lines().size(), 1U);
  const auto& line = log_.lines()[0];
  for (const std::string_view part :
       {"session ended", "session=1f", "client=192.0.2.7:50123", "user=bob", "backend=legacy",
        "server=old.example.org:143", "received=31", "sent=55", "closed by the server"})
    EXPECT_NE(line.find(part), std::string::npos) << part << " in " << line;
}

TEST_F(RelayTest, AClientThatHasFinishedGetsTheRest) {
  begin();
  client_.feed("a2 FETCH 1 BODY[]\r\n");
  client_.eof();
  EXPECT_TRUE(backend_.finished());
  backend_.feed("a2 OK done\r\n");
  EXPECT_EQ(client_got(), "a2 OK done\r\n");
  backend_.eof();
  run();
  EXPECT_EQ(client_got(), "");
  EXPECT_TRUE(has_ended());
}

TEST_F(RelayTest, AClientThatHasFinishedGetsAlsoWhatTakesLong) {
  begin();
  client_.feed("a2 FETCH 1 BODY[]\r\n");
  client_.eof();
  for (int i = 0; i < 5; ++i) {
    backend_.feed("* 1 FETCH (BODY[] {1000000}\r\n…");
    pass(Millis(20'000));
    ASSERT_FALSE(client_.closed());
  }
  pass(Millis(20'000));
  EXPECT_TRUE(client_.closed());
}

TEST_F(RelayTest, AClientThatHadFinishedBeforeGetsTheRestAsWell) {
  begin("a2 NOOP\r\n", {}, true);
  EXPECT_EQ(backend_got(), "a2 NOOP\r\n");
  EXPECT_TRUE(backend_.finished());
  backend_.feed("a2 OK done\r\n");
  EXPECT_EQ(client_got(), "a2 OK done\r\n");
  pass(kIdleTimeout / 2);  // it can't say anything any more: less than idle_timeout is enough
  EXPECT_TRUE(client_.closed());
}

TEST_F(RelayTest, WhatItHasTakenIsGivenBackWhenTheBackendHasClosed) {
  begin();
  client_.lose("reset");
  EXPECT_FALSE(client_.closed()) << "no stream is destroyed inside its callback";
  run();
  EXPECT_TRUE(client_.closed());
  EXPECT_TRUE(backend_.finished());
  EXPECT_EQ(users_.keys(), 0U);
  EXPECT_EQ(connections(), 1U);
  EXPECT_EQ(account_->used(), 1U);
  backend_.feed("* OK I am not finished\r\n");
  run();
  EXPECT_EQ(connections(), 1U);
  backend_.eof();
  run();
  EXPECT_TRUE(has_ended());
  EXPECT_EQ(connections(), 0U);
  EXPECT_EQ(account_->used(), 0U);
}

TEST_F(RelayTest, ABackendThatDoesNotCloseIsNotWaitedForForever) {
  begin();
  relay_->kick();
  run();
  EXPECT_EQ(connections(), 1U);
  EXPECT_FALSE(has_ended());
  pass(Millis(5'000));
  EXPECT_TRUE(has_ended());
  EXPECT_TRUE(backend_.closed());
  EXPECT_EQ(connections(), 0U);
}

TEST_F(RelayTest, ItEndsOnce) {
  begin();
  relay_->kick();
  relay_->shut_down();
  client_.lose("reset");
  backend_.lose("reset");
  run();
  EXPECT_TRUE(has_ended());
  EXPECT_EQ(log_.lines().size(), 1U);
}

}  // namespace
}  // namespace imapmux::session
