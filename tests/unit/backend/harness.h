// A BackendConnection whose server is the test, on a virtual clock.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "async/task_scope.h"
#include "backend/open.h"
#include "support/memory_stream.h"

namespace imapmux::backend {

inline std::string describe(const TaggedReply& reply) {
  std::string out = reply.ok() ? "OK" : reply.status == wire::ResponseName::kNo ? "NO" : "BAD";
  if (!reply.code.empty()) {
    out += " [" + reply.code;
    if (!reply.code_arguments.empty()) out += " " + reply.code_arguments;
    out += "]";
  }
  return out + " " + reply.text;
}

// Writes down what it is told; the pieces of a literal are joined.
struct Recorder : ResponseObserver, Completion {
  explicit Recorder(std::string& to) : log(to) {}
  void on_untagged(const wire::Response& response, std::optional<LiteralStart> literal) noexcept override {
    log += "untagged <" + std::string(response.line) + ">" + start(literal) + "\n";
  }
  void on_literal(std::string_view octets) noexcept override { data += octets; }
  void on_text(std::string_view text, std::optional<LiteralStart> literal) noexcept override {
    log += "data <" + std::exchange(data, {}) + ">\ntext <" + std::string(text) + ">" + start(literal) + "\n";
  }
  void on_backend_lost(const std::string& reason) noexcept override {
    log += "backend lost: " + reason + "\n";
  }
  void on_backend_drained() noexcept override { log += "drained\n"; }

  void on_tagged(const wire::Response& response) noexcept override {
    log += "tagged <" + std::string(response.line) + ">\n";
  }
  void on_lost(const std::string& reason) noexcept override { log += "command lost: " + reason + "\n"; }

  static std::string start(std::optional<LiteralStart> literal) {
    return literal ? (literal->literal8 ? " ~{" : " {") + std::to_string(literal->size) + "}" : "";
  }
  std::string& log;
  std::string data;
};

class Harness {
 public:
  using Millis = base::Millis;
  static constexpr int kTimeout = 10'000;

  Harness() : recorder(log) {
    connection = std::make_unique<BackendConnection>(scheduler, peer.stream(), Millis(kTimeout));
    connection->set_observer(&recorder);
  }
  ~Harness() {
    scope.cancel();
    scheduler.run_ready();
    EXPECT_TRUE(scope.empty()) << "a task did not end";
    connection.reset();
  }
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;

  // The greeting, and what is logged of it taken away.
  Harness& greeted(const std::string& greeting = "* OK ready\r\n") {
    greet();
    say(greeting);
    EXPECT_EQ(take_log(), "greeted\n");
    return *this;
  }
  // The server says something.
  void say(std::string_view octets) {
    peer.feed(octets);
    scheduler.run_ready();
  }
  void advance(int millis) { scheduler.advance(Millis(millis)); }
  void eof() {
    peer.eof();
    scheduler.run_ready();
  }
  void lose(const std::string& reason) {
    peer.lose(reason);
    scheduler.run_ready();
  }
  std::string written() {
    scheduler.run_ready();
    return peer.take_written();
  }
  std::string take_log() {
    scheduler.run_ready();
    return std::exchange(log, {});
  }

  void greet(int limit = 1'000) { spawn(greet_task(*this, Millis(limit))); }
  void run(std::string command) { spawn(run_task(*this, std::move(command))); }
  // Waits for the go-ahead of a command that was sent by hand.
  void await_go(std::string tag) { spawn(continuation_task(*this, std::move(tag))); }
  void close(int limit) { spawn(close_task(*this, Millis(limit))); }
  void log_in(const config::Backend& backend, auth::Credential credential, std::string name) {
    spawn(log_in_task(*this, backend, std::move(credential), std::move(name)));
  }
  void log_in_as_master(const config::Backend& backend, std::string name) {
    spawn(master_task(*this, backend, std::move(name)));
  }

  testing_support::VirtualScheduler scheduler;
  testing_support::MemoryPeer peer;
  std::string log;
  Recorder recorder;
  std::unique_ptr<BackendConnection> connection;
  async::TaskScope scope{scheduler};

 private:
  void spawn(async::Task<> task) {
    scope.spawn(std::move(task));
    scheduler.run_ready();
  }
  static async::Task<> greet_task(Harness& h, Millis limit) {
    try {
      co_await h.connection->greet(limit);
      h.log += "greeted\n";
    } catch (const net::ConnectionLost& lost) {
      h.log += std::string("no greeting: ") + lost.what() + "\n";
    }
  }
  static async::Task<> run_task(Harness& h, std::string command) {
    try {
      auto reply = co_await h.connection->run(command);
      h.log += command.substr(0, command.find(' ')) + ": " + describe(reply) + "\n";
    } catch (const net::ConnectionLost& lost) {
      h.log += command.substr(0, command.find(' ')) + " failed: " + lost.what() + "\n";
      EXPECT_EQ(lost.side(), net::Side::kBackend);
    }
  }
  static async::Task<> continuation_task(Harness& h, std::string tag) {
    try {
      std::string text;
      auto go = co_await h.connection->continuation(tag, &text);
      h.log += tag + (go == BackendConnection::Go::kContinue ? " continue <" + text + ">\n" : " answered\n");
    } catch (const net::ConnectionLost& lost) {
      h.log += tag + " failed: " + lost.what() + "\n";
    }
  }
  static async::Task<> close_task(Harness& h, Millis limit) {
    co_await h.connection->close(limit);
    h.log += "closed\n";
  }
  static async::Task<> report(Harness& h, async::Task<LoginOutcome> task) {
    try {
      auto outcome = co_await std::move(task);
      const char* verdicts[] = {"accepted", "refused", "no slot"};
      h.log += std::string(verdicts[static_cast<size_t>(outcome.verdict)]) + ": " + describe(outcome.reply);
      if (!outcome.challenge.empty()) h.log += " challenge " + outcome.challenge;
      h.log += "\n";
    } catch (const net::ConnectionLost& lost) {
      h.log += std::string("login failed: ") + lost.what() + "\n";
    }
  }
  static async::Task<> log_in_task(Harness& h, const config::Backend& backend, auth::Credential credential,
                                   std::string name) {
    co_await report(h, backend::log_in(*h.connection, backend, credential, std::move(name)));
  }
  static async::Task<> master_task(Harness& h, const config::Backend& backend, std::string name) {
    co_await report(h, backend::log_in_as_master(*h.connection, backend, std::move(name)));
  }
};

}  // namespace imapmux::backend
