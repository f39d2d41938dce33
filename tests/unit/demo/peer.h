// A client of the legacy server in memory, for the tests: what it says goes straight into a LegacySession,
// what it is told is a string.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "demo/legacy_server.h"
#include "demo/legacy_session.h"

namespace imapmux::demo {

class Peer : public SessionOutput {
 public:
  explicit Peer(LegacyServer& server, std::string address = "127.0.0.1")
      : session(server, std::move(address), *this) {
    session.start();
  }

  void send(std::string_view octets) override {
    if (!closed) heard += octets;
  }
  void close() override { closed = true; }
  void start_tls() override { tls = true; }

  std::string take() { return std::exchange(heard, {}); }
  // Octets as they are.
  std::string raw(std::string_view octets) {
    session.receive(octets);
    return take();
  }
  // One line; what comes back.
  std::string say(std::string_view line) { return raw(std::string(line) + "\r\n"); }
  // After a login as alice, the mailbox selected.
  Peer& in(std::string_view mailbox = "INBOX") {
    log_in();
    say("s SELECT " + std::string(mailbox));
    return *this;
  }
  Peer& log_in() {
    say("l LOGIN alice secret");
    return *this;
  }

  std::string heard;
  bool closed = false;
  bool tls = false;
  LegacySession session;
};

inline ServerOptions options_with(Quirks quirks = {}) {
  ServerOptions options;
  options.quirks = quirks;
  options.users = {{"alice", "secret"}, {"bob", "word"}};
  options.first_uid_validity = 7;
  return options;
}

inline Quirks quirks_with(SecondSession mode) {
  Quirks quirks;
  quirks.second_session = mode;
  return quirks;
}

// "Subject: <text>" and a body.
inline std::string mail(std::string_view subject, std::string_view body = "Hello.\r\n") {
  return "From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: " + std::string(subject) +
         "\r\nDate: Mon, 4 Mar 2024 09:15:00 +0100\r\n\r\n" + std::string(body);
}

// Alice's INBOX with n messages, UIDs from 1.
inline void fill(LegacyServer& server, int n) {
  for (int i = 1; i <= n; ++i) {
    server.store().append("alice", "INBOX", mail("number " + std::to_string(i)), {},
                          ZonedTime{1709540100 + i * 86400, 60});
  }
}

inline bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace imapmux::demo
