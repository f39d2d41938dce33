// A whole probe of the demo server in each of its modes, and what it must find.
#include <gtest/gtest.h>

#include <atomic>

#include "config/config_loader.h"
#include "demo/legacy_imapd.h"
#include "probe/probe.h"
#include "probe/report.h"
#include "probe/stanza.h"

namespace imapmux::probe {
namespace {

constexpr const char* kUser = "bob";
constexpr const char* kPassword = "s3cret-word";

demo::ServerOptions server_options(const demo::Quirks& quirks) {
  demo::ServerOptions options;
  options.quirks = quirks;
  options.users[kUser] = kPassword;
  return options;
}

Options options_for(demo::LegacyImapdThread& server) {
  Options options;
  options.server = {"127.0.0.1", server.port(), {}};
  options.user = kUser;
  options.tls = config::BackendTls::kNone;
  options.timeout = base::Millis(10'000);
  options.most_connections = 6;
  return options;
}

Outcome probe(const Options& options) {
  return Probe(options, base::Secret(kPassword), {}).run();
}

std::vector<std::string> mailboxes(demo::LegacyImapdThread& server) {
  std::vector<std::string> names;
  for (const auto& mailbox : server.store().list(kUser)) names.push_back(mailbox.name);
  return names;
}
const std::vector<std::string> kAsItWas{"INBOX"};

struct Mode {
  const char* name;
  demo::Quirks quirks;
  // What is to be found.
  Beside second_select = Beside::kWorks;
  Beside examine_beside_select = Beside::kWorks;
  Beside select_beside_examine = Beside::kWorks;
  Status status_of_other = Status::kFine;
  Status status_of_own = Status::kFine;
  LimitKind limit = LimitKind::kNotMet;
  uint32_t connections = 6;
  // What is to be done about it.
  config::MailboxAccess access = config::MailboxAccess::kShared;
  config::Conflicts conflicts = config::Conflicts::kSingleAccess;
  uint32_t per_user = 5;
  uint32_t per_server = 0;
};

demo::Quirks quirks(demo::SecondSession second) {
  demo::Quirks out;
  out.second_session = second;
  return out;
}
template <class Change>
demo::Quirks quirks(demo::SecondSession second, Change change) {
  auto out = quirks(second);
  change(out);
  return out;
}

using demo::Quirks;
using demo::SecondSession;
using demo::StatusOfSelected;

const Mode kModes[] = {
    {.name = "Allowed",
     .quirks = quirks(SecondSession::kAllowed),
     .access = config::MailboxAccess::kUnrestricted,
     .conflicts = config::Conflicts::kNone,
     .per_user = 0},
    {.name = "Refused",
     .quirks = quirks(SecondSession::kRefused),
     .second_select = Beside::kRefused,
     .examine_beside_select = Beside::kRefused,
     .select_beside_examine = Beside::kRefused},
    {.name = "Severs",
     .quirks = quirks(SecondSession::kSeversFirst),
     .second_select = Beside::kSeversFirst,
     .examine_beside_select = Beside::kSeversFirst,
     .select_beside_examine = Beside::kSeversFirst},
    {.name = "ReadOnly",
     .quirks = quirks(SecondSession::kReadOnly),
     .second_select = Beside::kReadOnly,
     .select_beside_examine = Beside::kReadOnly},
    {.name = "ReadOnlyButForExamine",
     .quirks = quirks(SecondSession::kReadOnly, [](Quirks& q) { q.examine_counts = false; }),
     .second_select = Beside::kReadOnly,
     .conflicts = config::Conflicts::kSingleWriter},
    {.name = "RefusedButForExamine",
     .quirks = quirks(SecondSession::kRefused, [](Quirks& q) { q.examine_counts = false; }),
     .second_select = Beside::kRefused,
     .conflicts = config::Conflicts::kSingleWriter},
    {.name = "StatusKills",
     .quirks = quirks(SecondSession::kAllowed,
                      [](Quirks& q) { q.status_of_selected = StatusOfSelected::kKillsSession; }),
     .status_of_other = Status::kSevers,
     .status_of_own = Status::kSevers},
    {.name = "StatusStale",
     .quirks = quirks(SecondSession::kAllowed,
                      [](Quirks& q) { q.status_of_selected = StatusOfSelected::kStaleNumbers; }),
     .status_of_other = Status::kStale,
     .status_of_own = Status::kStale},
    {.name = "SeversAndStatusKills",
     .quirks = quirks(SecondSession::kSeversFirst,
                      [](Quirks& q) { q.status_of_selected = StatusOfSelected::kKillsSession; }),
     .second_select = Beside::kSeversFirst,
     .examine_beside_select = Beside::kSeversFirst,
     .select_beside_examine = Beside::kSeversFirst,
     .status_of_other = Status::kSevers,
     .status_of_own = Status::kSevers},
    {.name = "Bare",
     .quirks = quirks(SecondSession::kSeversFirst,
                      [](Quirks& q) {
                        q.has_unselect = q.has_idle = q.has_literal_plus = false;
                        q.has_uidplus = q.has_move = q.has_namespace = false;
                      }),
     .second_select = Beside::kSeversFirst,
     .examine_beside_select = Beside::kSeversFirst,
     .select_beside_examine = Beside::kSeversFirst},
    {.name = "OneConnection",
     .quirks = quirks(SecondSession::kAllowed, [](Quirks& q) { q.max_connections_per_user = 1; }),
     .second_select = Beside::kUnknown,
     .examine_beside_select = Beside::kUnknown,
     .select_beside_examine = Beside::kUnknown,
     .status_of_other = Status::kUnknown,
     .limit = LimitKind::kLogin,
     .connections = 1,
     .per_user = 1},
    {.name = "TwoConnections",
     .quirks = quirks(SecondSession::kSeversFirst, [](Quirks& q) { q.max_connections_per_user = 2; }),
     .second_select = Beside::kSeversFirst,
     .examine_beside_select = Beside::kSeversFirst,
     .select_beside_examine = Beside::kSeversFirst,
     .limit = LimitKind::kLogin,
     .connections = 2,
     .per_user = 2},
    {.name = "ThreePerAddress",
     .quirks = quirks(SecondSession::kAllowed, [](Quirks& q) { q.max_connections_per_address = 3; }),
     .limit = LimitKind::kConnection,
     .connections = 3,
     .conflicts = config::Conflicts::kNone,
     .per_user = 2,
     .per_server = 3},
};

void PrintTo(const Mode& mode, std::ostream* out) {
  *out << mode.name;
}

class DemoModes : public testing::TestWithParam<Mode> {};

INSTANTIATE_TEST_SUITE_P(All, DemoModes, testing::ValuesIn(kModes),
                         [](const auto& mode) { return std::string(mode.param.name); });

TEST_P(DemoModes, AreSeenForWhatTheyAre) {
  const Mode& mode = GetParam();
  demo::LegacyImapdThread server(server_options(mode.quirks));
  const auto options = options_for(server);
  const auto outcome = probe(options);
  const auto& found = outcome.findings;
  const auto text = to_text(options, found, Detail::kDialogue);
  SCOPED_TRACE(text);
  ASSERT_EQ(outcome.failure, "");

  EXPECT_EQ(found.second_select, mode.second_select);
  EXPECT_EQ(found.examine_beside_select, mode.examine_beside_select);
  EXPECT_EQ(found.select_beside_examine, mode.select_beside_examine);
  EXPECT_EQ(found.status_of_other, mode.status_of_other);
  EXPECT_EQ(found.status_of_own, mode.status_of_own);
  EXPECT_EQ(found.append, mode.connections > 1 ? Append::kTold : Append::kUnknown);
  EXPECT_EQ(found.uid_next, UidNext::kSticky);
  EXPECT_EQ(found.name_case, NameCase::kMatters);
  EXPECT_EQ(found.limit, mode.limit);
  EXPECT_EQ(found.connections, mode.connections);

  const auto verdict = judge(found);
  EXPECT_EQ(verdict.access, mode.access);
  EXPECT_EQ(verdict.conflicts, mode.conflicts);
  EXPECT_EQ(verdict.connections_per_user, mode.per_user);
  EXPECT_EQ(verdict.max_connections, mode.per_server);
  EXPECT_EQ(verdict.uid_next, config::UidNext::kSticky);

  const auto loaded = config::load_text(stanza(options, found, verdict), "stanza", ".");
  EXPECT_TRUE(loaded.config) << loaded.problems.front().to_string();
  for (const auto& warning : loaded.warnings)
    EXPECT_FALSE(warning.message.contains("backends")) << warning.to_string();

  EXPECT_EQ(outcome.left_behind, "");
  EXPECT_TRUE(text.contains(", deleted again\n"));
  EXPECT_EQ(mailboxes(server), kAsItWas);
  EXPECT_EQ(text.find(kPassword), std::string::npos);
  EXPECT_EQ(to_json(options, found).find(kPassword), std::string::npos);
}

TEST(Probe, ChangesNothingInInbox) {
  demo::LegacyImapdThread server(server_options(quirks(SecondSession::kSeversFirst)));
  server.store().append(kUser, "INBOX", "Subject: mine\r\n\r\nmine\r\n");
  const auto before = server.store().snapshot(kUser, "INBOX");
  probe(options_for(server));
  const auto after = server.store().snapshot(kUser, "INBOX");
  ASSERT_TRUE(before && after);
  EXPECT_EQ(before->revision, after->revision);
}

// At each of its questions: the sessions are in the middle of something else each time.
TEST(Probe, DeletesItsMailboxWhenItIsInterrupted) {
  for (const std::string_view at :
       {"SELECT beside a SELECT", "APPEND from another session", "UIDNEXT", "login names"}) {
    SCOPED_TRACE(at);
    demo::LegacyImapdThread server(server_options(quirks(SecondSession::kSeversFirst)));
    Probe* running = nullptr;
    Probe probe(options_for(server), base::Secret(kPassword), [&](std::string_view question) {
      if (question == at) running->interrupt();
    });
    running = &probe;
    const auto outcome = probe.run();
    EXPECT_EQ(outcome.failure, "interrupted");
    EXPECT_EQ(outcome.left_behind, "");
    EXPECT_EQ(mailboxes(server), kAsItWas);
  }
}

TEST(Probe, SaysWhatItLeavesBehindWhenTheServerGoes) {
  demo::LegacyImapdThread server(server_options({}));
  Probe probe(options_for(server), base::Secret(kPassword), [&](std::string_view question) {
    if (question == "UIDNEXT") server.vanish();
  });
  const auto outcome = probe.run();
  EXPECT_TRUE(outcome.left_behind.starts_with("imapmux-probe-")) << outcome.left_behind;
  EXPECT_EQ(outcome.findings.uid_next, UidNext::kUnknown);
}

TEST(Probe, DeletesWhatAnEarlierOneLeftButNothingElse) {
  demo::LegacyImapdThread server(server_options({}));
  const std::string old = make_name(1'000'000'000);
  for (const auto& name : {old, std::string("imapmux-probe-notes"), make_name(4'000'000'000)})
    server.store().create(kUser, name);
  const auto outcome = probe(options_for(server));
  ASSERT_EQ(outcome.findings.notes.size(), 1U);
  EXPECT_TRUE(outcome.findings.notes.front().contains(old));
  EXPECT_EQ(mailboxes(server).size(), 3U);
  EXPECT_FALSE(server.store().find(kUser, old));
}

TEST(Probe, TriesARefusedLoginOnce) {
  std::atomic<int> logins = 0;
  auto server_side = server_options({});
  server_side.login_refusal = [&logins] {
    ++logins;
    return std::string("NO [AUTHENTICATIONFAILED] not with s3cret-word");
  };
  demo::LegacyImapdThread server(std::move(server_side));
  const auto outcome = probe(options_for(server));
  EXPECT_EQ(outcome.failure, "the login of bob was refused: NO [AUTHENTICATIONFAILED] not with ***");
  EXPECT_EQ(logins, 1);
}

TEST(Probe, SaysThatNobodyListens) {
  demo::LegacyImapdThread server(server_options({}));
  const auto options = options_for(server);
  server.stop();
  const auto outcome = probe(options);
  EXPECT_TRUE(outcome.failure.starts_with("no session with 127.0.0.1:")) << outcome.failure;
}

}  // namespace
}  // namespace imapmux::probe
