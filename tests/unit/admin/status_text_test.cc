// The status for a terminal.
#include "admin/status_text.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "admin/status_json.h"

namespace imapmux::admin {
namespace {

session::Snapshot two_who_share() {
  session::Snapshot snapshot;
  snapshot.version = "9.9";
  snapshot.ready = true;
  snapshot.uptime = base::Millis(5'000);
  snapshot.clients = 3;
  session::SessionStatus session;
  session.id = 0x1f;
  session.client = "192.0.2.7:50123";
  session.user = session.login_name = "bob";
  session.backend = "old";
  session.waiting_for = "mailbox INBOX";
  snapshot.all.sessions.push_back(session);
  mailbox::AccountStatus account;
  account.backend = "old";
  account.login_name = "bob";
  account.sessions = 2;
  account.most_connections = 1;
  auto& connection = account.connections.emplace_back();
  connection.server = "a:143";
  connection.state = mailbox::ConnectionState::kIdling;
  connection.mailbox = "INBOX";
  auto& inbox = account.mailboxes.emplace_back();
  inbox.name = "INBOX";
  inbox.holder = 7;
  inbox.attached = inbox.for_writing = true;
  inbox.messages = 12;
  inbox.clients = 2;
  inbox.idling = 1;
  inbox.ghosts = 4;
  auto& sent = account.mailboxes.emplace_back();
  sent.name = "Sent";
  sent.messages = 1;
  snapshot.all.accounts.push_back(account);
  snapshot.leases.push_back({std::string("old\0ubob", 8), "INBOX", {{7, mailbox::LeaseKind::kSelect}}, 1});
  auto& server = snapshot.servers.emplace_back();
  server.backend = "old";
  server.server = "a:143";
  server.standing = backend::ServerHealth::Standing::kDown;
  server.draining = true;
  server.connections = 1;
  server.max_connections = 4;
  server.answer_time = std::chrono::microseconds(1'250);
  return snapshot;
}

TEST(StatusText, WhoSharesWhatAndWhoWaits) {
  const auto text = to_text(to_json(two_who_share()));
  for (const char* part : {"imapmux 9.9, up 5 s", "ready\n", "3 clients (0 waiting)", "down, drained",
                           "1 of 4", "1.2 ms", "bob at old: 2 clients on 1 connection (at most 1)",
                           "2 clients (1 in IDLE), 4 ghosts", "12 messages  open on a:143 (idling)",
                           "1 message    suspended", "mailbox INBOX", "select #7 bob", "… and 2 more"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  EXPECT_EQ(text.find("per second"), std::string::npos);
}

// Where the text stands in its line; one character, one place.
size_t column_of(const std::string& text, const std::string& part) {
  const auto at = text.find(part);
  if (at == std::string::npos) return at;
  const auto line = text.substr(text.rfind('\n', at) + 1, at - text.rfind('\n', at) - 1);
  return static_cast<size_t>(std::count_if(
      line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

TEST(StatusText, ColumnsAreAsWideAsWhatStandsInThem) {
  auto snapshot = two_who_share();
  snapshot.all.sessions[0].user = "büro-of-a-long-name@mail.example.org";
  snapshot.all.sessions[0].mailbox = "Entwürfe";
  const auto text = to_text(to_json(snapshot));
  EXPECT_EQ(column_of(text, "WAITING FOR"), column_of(text, "mailbox INBOX")) << text;
  EXPECT_EQ(column_of(text, "MAILBOX   WAITING FOR"), column_of(text, "Entwürfe")) << text;
  EXPECT_EQ(text.find(" \n"), std::string::npos) << text;
}

TEST(StatusText, RatesSinceTheLastOne) {
  auto snapshot = two_who_share();
  const auto before = to_json(snapshot);
  snapshot.uptime += base::Millis(2'000);
  snapshot.logins += 3;
  snapshot.meters.clients.sent += 4'096;
  const auto text = to_text(to_json(snapshot), before);
  EXPECT_NE(text.find("per second: 0 commands, 1.5 logins, 0 B from clients, 2.0 KiB to clients"),
            std::string::npos)
      << text;
}

TEST(StatusText, NoControlCharactersOfOthers) {
  auto snapshot = two_who_share();
  snapshot.all.accounts[0].mailboxes[0].name =
      "\x1b[31mred\r\n\x7f\xc2\x9b"
      "2J\xff\u202eder";  // right to left
  const auto text = to_text(to_json(snapshot));
  for (const char* octets : {"\x1b", "\r", "\x7f", "\xc2\x9b", "\u202e"})
    EXPECT_EQ(text.find(octets), std::string::npos) << text;
  EXPECT_NE(text.find(R"(\x1b[31mred\x0d\x0a\x7f)"), std::string::npos) << text;
}

TEST(StatusText, AnotherVersionsStatusIsShownAsFarAsItGoes) {
  EXPECT_NE(to_text("{\"version\": \"0.1\", \"sessions\": [{}], \"servers\": 3}").find("imapmux 0.1"),
            std::string::npos);
  EXPECT_THROW(to_text("not JSON"), std::runtime_error);
  EXPECT_THROW(to_text("[]"), std::runtime_error);
}

}  // namespace
}  // namespace imapmux::admin
