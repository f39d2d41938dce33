// LegacyImapd on real sockets. The clients are blocking, with a generous time limit.
#include "demo/legacy_imapd.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "async/scheduler.h"
// unit_demo is not linked with it.
#include "support/test_certificates.cc"
#include "unit/demo/peer.h"

namespace imapmux::demo {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class Client {
 public:
  explicit Client(uint16_t port, int receive_buffer = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const timeval limit{30, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  Client(Client&& other) noexcept
      : connected(other.connected),
        fd_(std::exchange(other.fd_, -1)),
        ssl_(std::move(other.ssl_)),
        context_(std::move(other.context_)),
        held_(std::move(other.held_)) {}
  Client& operator=(Client&&) = delete;
  ~Client() {
    if (fd_ >= 0) ::close(fd_);
  }

  // With TLS from here on.
  bool start_tls() {
    context_ = {SSL_CTX_new(TLS_client_method()), SSL_CTX_free};
    ssl_ = {SSL_new(context_.get()), SSL_free};
    SSL_set_fd(ssl_.get(), fd_);
    return SSL_connect(ssl_.get()) == 1;
  }

  void send(std::string_view octets) {
    while (!octets.empty()) {
      const auto n = ssl_ ? SSL_write(ssl_.get(), octets.data(), static_cast<int>(octets.size()))
                          : ::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      octets.remove_prefix(static_cast<size_t>(n));
    }
  }
  // As much as goes without waiting.
  size_t send_some(std::string_view octets) {
    const auto n = ::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return n > 0 ? static_cast<size_t>(n) : 0;
  }
  // Up to and with `end`; up to the end of the connection if it does not come.
  std::string until(std::string_view end) {
    size_t at;
    while ((at = held_.find(end)) == std::string::npos && more()) {
    }
    const size_t size = at == std::string::npos ? held_.size() : at + end.size();
    std::string text = held_.substr(0, size);
    held_.erase(0, size);
    return text;
  }
  std::string line() { return until("\r\n"); }
  std::string rest() {
    while (more()) {
    }
    return std::exchange(held_, {});
  }
  // A command of tag t, and everything up to its answer's end.
  std::string say(std::string_view command) {
    send("t " + std::string(command) + "\r\n");
    std::string all;
    for (;;) {
      const std::string next = line();
      all += next;
      if (next.empty() || next.starts_with("t ")) return all;
    }
  }
  Client& log_in() {
    EXPECT_TRUE(line().starts_with("* OK "));
    EXPECT_TRUE(has(say("LOGIN alice secret"), "t OK"));
    return *this;
  }
  Client& in(std::string_view mailbox = "INBOX") {
    log_in();
    EXPECT_TRUE(has(say("SELECT " + std::string(mailbox)), "t OK"));
    return *this;
  }
  // Nothing comes for a while.
  bool silent(milliseconds time = milliseconds(50)) {
    pollfd wait{fd_, POLLIN, 0};
    return held_.empty() && ::poll(&wait, 1, static_cast<int>(time.count())) == 0;
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void reset() {
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(std::exchange(fd_, -1));
  }

  bool connected = false;

 private:
  bool more() {
    char buffer[16384];
    const auto n = ssl_ ? SSL_read(ssl_.get(), buffer, sizeof buffer) : ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    held_.append(buffer, static_cast<size_t>(n));
    return true;
  }

  int fd_;
  std::shared_ptr<SSL> ssl_;
  std::shared_ptr<SSL_CTX> context_;
  std::string held_;
};

size_t connections(LegacyImapdThread& imapd) {
  size_t count = 0;
  imapd.call([&](LegacyImapd& of) { count = of.connections(); });
  return count;
}

bool comes_to(LegacyImapdThread& imapd, size_t count) {
  for (int i = 0; i < 5000; ++i) {
    if (connections(imapd) == count) return true;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return false;
}

size_t sessions_in_inbox(LegacyImapdThread& imapd) {
  size_t count = 0;
  imapd.call([&](LegacyImapd& of) { count = of.server().sessions_in("alice", "INBOX"); });
  return count;
}

Quirks slow(milliseconds latency) {
  Quirks quirks;
  quirks.latency = latency;
  return quirks;
}

milliseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
}

struct WithTls {
  WithTls() {
    const auto files = certificates.issue({"localhost"});
    sockets.tls = net::ServerTls::make(
        {.identities = {{{"localhost"}, files.certificate, files.private_key}}, .floor = {}, .client_ca = {}},
        nullptr);
    sockets.tls_bind = base::Endpoint{"127.0.0.1", 0, {}};
    options.starttls = true;
  }
  test::TestCertificates certificates;
  ImapdSockets sockets;
  ServerOptions options = options_with();
};

TEST(LegacyImapd, AConversation) {
  LegacyImapdThread imapd(options_with());
  ASSERT_NE(imapd.port(), 0);
  EXPECT_EQ(imapd.tls_port(), 0);
  imapd.store().append("alice", "INBOX", mail("one"));
  Client client(imapd.port());
  client.in();
  EXPECT_TRUE(has(client.say("FETCH 1 BODY[HEADER.FIELDS (SUBJECT)]"), "Subject: one\r\n"));
  client.send("a NOOP\r\nb NO");
  EXPECT_EQ(client.line(), "a OK NOOP completed\r\n");
  client.send("OP\r\nc LOGOUT\r\n");
  EXPECT_EQ(client.rest(), "b OK NOOP completed\r\n* BYE Logging out\r\nc OK LOGOUT completed\r\n");
  EXPECT_TRUE(comes_to(imapd, 0));
}

TEST(LegacyImapd, AnswersBehindAHalfClose) {
  for (const int latency : {0, 30}) {
    LegacyImapdThread imapd(options_with(slow(milliseconds(latency))));
    Client client(imapd.port());
    client.send("a LOGIN alice secret\r\nb NOOP\r\n");
    client.half_close();
    const std::string all = client.rest();
    EXPECT_TRUE(has(all, "a OK") && has(all, "b OK")) << all;
    EXPECT_TRUE(comes_to(imapd, 0));
  }
}

TEST(LegacyImapd, APeerThatVanishesFreesItsMailbox) {
  LegacyImapdThread imapd(options_with(quirks_with(SecondSession::kRefused)));
  for (const bool reset : {false, true}) {
    Client client(imapd.port());
    client.in();
    EXPECT_EQ(sessions_in_inbox(imapd), 1u);
    if (reset) {
      client.reset();
    } else {
      client.half_close();
    }
    EXPECT_TRUE(comes_to(imapd, 0));
  }
  Client(imapd.port()).in();
  EXPECT_EQ(imapd.violations().total(), 0u);
}

TEST(LegacyImapd, LatencyDelaysEveryAnswerAndKeepsTheOrder) {
  constexpr milliseconds kLatency(60);
  LegacyImapdThread imapd(options_with(slow(kLatency)));
  const auto slack = milliseconds(5);
  auto start = Clock::now();
  Client client(imapd.port());
  client.in();
  EXPECT_GE(since(start), 3 * (kLatency - slack));

  start = Clock::now();
  std::string expected;
  for (int i = 0; i < 50; ++i) {
    const std::string tag = "n" + std::to_string(i);
    client.send(tag + " NOOP\r\n");  // all of them at once: together they take no longer than one
    expected += tag + " OK NOOP completed\r\n";
  }
  client.send("x APPEND INBOX {4}\r\n");
  EXPECT_EQ(client.until("n49 OK NOOP completed\r\n"), expected);
  EXPECT_GE(since(start), kLatency - slack);
  EXPECT_EQ(client.line(), "+ Ready for literal\r\n");
  client.send("mail\r\ny LOGOUT\r\n");
  const std::string rest = client.rest();
  const size_t appended = rest.find("x OK"), bye = rest.find("* BYE"), last = rest.find("y OK");
  EXPECT_TRUE(appended < bye && bye < last && last != std::string::npos) << rest;
}

TEST(LegacyImapd, LatencyDoesNotHoldUpOthers) {
  LegacyImapdThread imapd(options_with(slow(milliseconds(100))));
  const auto start = Clock::now();
  std::vector<Client> clients;
  for (int i = 0; i < 20; ++i) clients.emplace_back(imapd.port());
  for (auto& client : clients) client.line();
  for (auto& client : clients) client.send("a LOGIN alice secret\r\n");
  for (auto& client : clients) EXPECT_TRUE(has(client.line(), "a OK"));
  EXPECT_GE(since(start), milliseconds(190));
  EXPECT_LT(since(start), milliseconds(2000));  // one behind the other it would be 4 s
}

TEST(LegacyImapd, StarttlsThenEverythingIsEncrypted) {
  WithTls with;
  for (const int latency : {0, 40}) {
    with.options.quirks.latency = milliseconds(latency);
    LegacyImapdThread imapd(with.options, with.sockets);
    Client client(imapd.port());
    EXPECT_TRUE(has(client.line(), "STARTTLS"));
    // What comes behind it in the clear is dropped.
    client.send("t STARTTLS\r\nu LOGIN alice secret\r\n");
    EXPECT_EQ(client.line(), "t OK Begin TLS negotiation now\r\n");
    ASSERT_TRUE(client.start_tls());
    EXPECT_FALSE(has(client.say("CAPABILITY"), "STARTTLS"));
    EXPECT_TRUE(has(client.say("LOGIN alice secret"), "t OK"));
    EXPECT_TRUE(has(client.say("STARTTLS"), "t BAD"));
    EXPECT_TRUE(has(client.say("SELECT INBOX"), "t OK"));
    client.send("x LOGOUT\r\n");
    EXPECT_EQ(client.rest(), "* BYE Logging out\r\nx OK LOGOUT completed\r\n");
    EXPECT_TRUE(comes_to(imapd, 0));
  }
}

TEST(LegacyImapd, TlsFromTheStart) {
  WithTls with;
  LegacyImapdThread imapd(with.options, with.sockets);
  ASSERT_NE(imapd.tls_port(), 0);
  Client client(imapd.tls_port());
  ASSERT_TRUE(client.start_tls());
  client.in();
  imapd.store().append("alice", "INBOX", mail("large", std::string(3'000'000, 'x')));
  EXPECT_TRUE(has(client.say("NOOP"), "* 1 EXISTS"));
  const std::string fetched = client.say("FETCH 1 BODY[]");
  EXPECT_GT(fetched.size(), 3'000'000u);
  EXPECT_TRUE(fetched.ends_with("t OK FETCH completed\r\n"));
  client.send("a IDLE\r\n");
  EXPECT_EQ(client.line(), "+ idling\r\n");
  imapd.stop();
  EXPECT_EQ(client.rest(), "* BYE Server shutting down\r\n");
}

TEST(LegacyImapd, HandshakesThatFail) {
  WithTls with;
  LegacyImapdThread imapd(with.options, with.sockets);
  Client rubbish(imapd.tls_port());
  rubbish.send("a CAPABILITY\r\n");
  rubbish.rest();
  Client closed(imapd.tls_port());
  EXPECT_TRUE(comes_to(imapd, 1));
  closed.half_close();
  EXPECT_TRUE(comes_to(imapd, 0));
  Client in_between(imapd.port());
  in_between.line();
  EXPECT_TRUE(has(in_between.say("STARTTLS"), "t OK"));
  in_between.send("b NOOP in the clear\r\n");
  EXPECT_FALSE(has(in_between.rest(), "b OK"));
  EXPECT_TRUE(comes_to(imapd, 0));
}

TEST(LegacyImapd, EndsWhileHandshakesAreUnderWay) {
  WithTls with;
  for (const bool bye : {true, false}) {
    LegacyImapdThread imapd(with.options, with.sockets);
    Client implicit(imapd.tls_port());
    Client starting(imapd.port());
    starting.line();
    EXPECT_TRUE(has(starting.say("STARTTLS"), "t OK"));
    EXPECT_TRUE(comes_to(imapd, 2));
    if (bye) {
      imapd.stop();
    } else {
      imapd.vanish();
    }
    EXPECT_EQ(implicit.rest(), "");
    EXPECT_EQ(starting.rest(), "");
  }
}

TEST(LegacyImapd, DeliveryIsPushedToAnIdlingClient) {
  LegacyImapdThread imapd(options_with());
  Client client(imapd.port());
  client.in();
  client.send("i IDLE\r\n");
  EXPECT_EQ(client.line(), "+ idling\r\n");
  imapd.store().append("alice", "INBOX", mail("one"));
  EXPECT_TRUE(has(client.until("RECENT\r\n"), "* 1 EXISTS\r\n"));
  imapd.store().expunge("alice", "INBOX", 1);
  EXPECT_EQ(client.line(), "* 1 EXPUNGE\r\n");
  client.send("DONE\r\n");
  EXPECT_TRUE(client.line().starts_with("i OK"));
  imapd.store().append("alice", "INBOX", mail("two"));
  EXPECT_TRUE(client.silent());
}

TEST(LegacyImapd, DeliveryFromThreadsWhileItStopsAndStarts) {
  LegacyImapdThread imapd(options_with());
  std::atomic<bool> over = false;
  std::thread delivering([&] {
    while (!over) {
      imapd.store().append("alice", "INBOX", mail("more"));
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  for (int i = 0; i < 10; ++i) {
    Client client(imapd.port());
    client.in();
    client.send("i IDLE\r\n");
    EXPECT_TRUE(has(client.until(" EXISTS\r\n"), "EXISTS"));
    if (i % 2) {
      imapd.stop();
    } else {
      imapd.vanish();
    }
    EXPECT_EQ(has(client.rest(), "* BYE Server shutting down"), i % 2 == 1);
    imapd.start();
  }
  over = true;
  delivering.join();
}

TEST(LegacyImapd, TheFirstSessionIsSeveredWithABye) {
  for (const int latency : {0, 30}) {
    Quirks quirks = quirks_with(SecondSession::kSeversFirst);
    quirks.latency = milliseconds(latency);
    LegacyImapdThread imapd(options_with(quirks));
    Client first(imapd.port());
    first.in();
    Client second(imapd.port());
    second.in();
    EXPECT_EQ(first.rest(), "* BYE Killed (lost mailbox lock)\r\n");
    EXPECT_EQ(imapd.violations().second_select, 1u);
    EXPECT_TRUE(has(second.say("NOOP"), "t OK"));
    EXPECT_TRUE(comes_to(imapd, 1));
  }
}

TEST(LegacyImapd, LimitsByAddressCountWithoutThePort) {
  Quirks quirks;
  quirks.max_connections_per_address = 2;
  LegacyImapdThread imapd(options_with(quirks));
  Client first(imapd.port()), second(imapd.port());
  first.log_in();
  second.log_in();
  EXPECT_EQ(Client(imapd.port()).rest(), "* BYE Too many connections from your address\r\n");
  EXPECT_EQ(imapd.violations().texts(), std::vector<std::string>{"more than 2 connections from 127.0.0.1"});
}

TEST(LegacyImapd, ManyConnections) {
  Quirks quirks = quirks_with(SecondSession::kAllowed);
  LegacyImapdThread imapd(options_with(quirks));
  for (int i = 0; i < 5; ++i) imapd.store().append("alice", "INBOX", mail("number"));
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      std::vector<Client> clients;
      for (int n = 0; n < 60; ++n) clients.emplace_back(imapd.port());
      for (auto& client : clients) client.in();
      for (int round = 0; round < 3; ++round)
        for (auto& client : clients)
          if (has(client.say("UID FETCH 1:* (FLAGS BODY[])"), "* 5 FETCH")) ++good;
      for (auto& client : clients) client.send("x LOGOUT\r\n");
      for (auto& client : clients)
        if (client.rest().ends_with("x OK LOGOUT completed\r\n")) ++good;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 4 * 60 * 4);
  EXPECT_TRUE(comes_to(imapd, 0));
}

TEST(LegacyImapd, WhoDoesNotReadIsNotReadFrom) {
  for (const int latency : {0, 5}) {
    LegacyImapdThread imapd(options_with(slow(milliseconds(latency))));
    imapd.store().append("alice", "INBOX", mail("large", std::string(5'000'000, 'x')));
    Client client(imapd.port(), 65536);
    client.in();
    client.send("a FETCH 1 BODY[]\r\nb FETCH 1 BODY[]\r\nc FETCH 1 BODY[]\r\nd FETCH 1 BODY[]\r\n");
    std::this_thread::sleep_for(milliseconds(100));
    // The server's side is full by now: what is sent from here on stays in the kernel, and does not all fit.
    const std::string octets(48u << 20, 'y');
    client.send("e APPEND INBOX {" + std::to_string(octets.size()) + "+}\r\n");
    size_t sent = 0;
    for (int idle = 0; idle < 5 && sent < octets.size();) {
      const size_t more = client.send_some(std::string_view(octets).substr(sent));
      sent += more;
      idle = more == 0 ? idle + 1 : 0;
      if (more == 0) std::this_thread::sleep_for(milliseconds(20));
    }
    EXPECT_LT(sent, octets.size());
    EXPECT_TRUE(has(client.until("d OK"), "c OK"));
    client.send(std::string_view(octets).substr(sent));
    client.send("\r\nf LOGOUT\r\n");
    const std::string rest = client.rest();
    EXPECT_TRUE(has(rest, "e OK") && has(rest, "f OK")) << rest;
    EXPECT_TRUE(comes_to(imapd, 0));
  }
}

TEST(LegacyImapd, LastWordsBehindALargeAnswer) {
  LegacyImapdThread imapd(options_with());
  imapd.store().append("alice", "INBOX", mail("large", std::string(8'000'000, 'x')));
  Client client(imapd.port(), 65536);
  client.in();
  client.send("a FETCH 1 BODY[]\r\nb LOGOUT\r\n");
  std::this_thread::sleep_for(milliseconds(2500));  // longer than a destroyed stream goes on sending
  const std::string all = client.rest();
  EXPECT_GT(all.size(), 8'000'000u);
  EXPECT_TRUE(all.ends_with("b OK LOGOUT completed\r\n"));
  EXPECT_TRUE(comes_to(imapd, 0));
}

TEST(LegacyImapd, StopSaysByeAndStartGoesOn) {
  for (const int latency : {0, 30}) {
    LegacyImapdThread imapd(options_with(slow(milliseconds(latency))));
    const uint16_t port = imapd.port();
    Client client(port);
    client.in();
    imapd.stop();
    EXPECT_FALSE(imapd.running());
    EXPECT_EQ(client.rest(), "* BYE Server shutting down\r\n");
    EXPECT_FALSE(Client(port).connected);
    EXPECT_THROW(imapd.call([](LegacyImapd&) {}), std::logic_error);
    EXPECT_TRUE(imapd.store().append("alice", "INBOX", mail("meanwhile")));
    imapd.start();
    EXPECT_EQ(imapd.port(), port);
    Client again(port);
    again.log_in();
    EXPECT_TRUE(has(again.say("SELECT INBOX"), "* 1 EXISTS"));
    EXPECT_EQ(imapd.violations().total(), 0u);
  }
}

TEST(LegacyImapd, VanishSaysNothing) {
  LegacyImapdThread imapd(options_with());
  Client client(imapd.port());
  client.in();
  imapd.vanish();
  EXPECT_EQ(client.rest(), "");
}

TEST(LegacyImapd, DestroyedWithOpenClients) {
  std::vector<Client> clients;
  {
    Quirks quirks = quirks_with(SecondSession::kAllowed);
    quirks.latency = milliseconds(20);
    LegacyImapdThread imapd(options_with(quirks));
    for (int i = 0; i < 10; ++i) clients.emplace_back(imapd.port()).in();
    clients[0].send("a NOOP\r\n");
  }
  for (auto& client : clients) EXPECT_TRUE(client.rest().ends_with("* BYE Server shutting down\r\n"));
}

// On somebody else's loop, in the test's own thread.
TEST(LegacyImapd, OnASharedLoop) {
  net::EventLoop loop;
  auto imapd = std::make_unique<LegacyImapd>(loop, options_with(slow(milliseconds(10'000))), ImapdSockets{});
  Client client(imapd->port());
  async::Timer timer(loop, [&] { loop.stop(); });
  {
    const net::EventLoop::Turn turn(loop);
    timer.start(base::Millis(50));
  }
  loop.run();
  EXPECT_EQ(imapd->connections(), 1u);
  imapd->server().store().append("alice", "INBOX", mail("nobody is told any more"));
  imapd.reset();
  {
    const net::EventLoop::Turn turn(loop);
    timer.start(base::Millis(20));
  }
  loop.run();
  // Delayed for much longer; its end does not wait for that.
  EXPECT_TRUE(client.rest().starts_with("* OK "));
}

TEST(LegacyImapd, WhatCantBeBound) {
  LegacyImapdThread imapd(options_with());
  EXPECT_THROW(LegacyImapdThread(options_with(), {.bind = {"127.0.0.1", imapd.port(), {}}}),
               std::runtime_error);
  EXPECT_THROW(LegacyImapdThread(options_with(), {.bind = {"mail.example.org", 0, {}}}), std::runtime_error);
  ServerOptions options = options_with();
  options.starttls = true;
  EXPECT_THROW(LegacyImapdThread(options, {}), std::runtime_error);
  EXPECT_THROW(LegacyImapdThread(options_with(), {.tls_bind = base::Endpoint{"127.0.0.1", 0, {}}}),
               std::runtime_error);
}

}  // namespace
}  // namespace imapmux::demo
