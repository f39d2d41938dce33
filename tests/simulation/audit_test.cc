// The checks can fail: a SessionAudit is fed with what a proxy must never say.
#include <gtest/gtest.h>

#include "simulation/mail_text.h"
#include "simulation/session_audit.h"

namespace imapmux::simulation {
namespace {

using wire::Verb;

// Alice's INBOX has three messages (tok-1. to tok-3., UID 1 to 3), and Archive none.
class Audit : public testing::Test {
 protected:
  Audit() {
    store.ensure_user("alice");
    store.create("alice", "Archive");
    store.set_listener([this] { history.look(); });
    history.set_listener([this](const auto& mailbox, const auto& change) {
      if (outside) return;
      if (change.kind == MailboxHistory::Change::Kind::kBorn)
        if (auto problem = promises.added(mailbox.id(), change.mail.token))
          world.verdict.fail("store", *problem);
      explained = audit->explains(mailbox, change);
    });
    history.add("alice", "INBOX");
    history.add("alice", "Archive");
    for (uint32_t i = 1; i <= 3; ++i) deliver(i);
    audit = std::make_shared<SessionAudit>(
        AuditContext{world, history, promises, rules, [](const auto&) { return true; }}, "alice", "alice.c1");
    says("* OK ready");
  }

  void deliver(uint32_t number) {
    const bool was = std::exchange(outside, true);
    store.append("alice", "INBOX", mail_text(token(number), 10));
    outside = was;
  }
  void set_flags(uint32_t uid, const demo::Flags& flags) {
    store.store_flags(*store.find("alice", "INBOX"), uid, demo::StoreMode::kReplace, flags);
  }

  Command make(Verb verb, const std::string& set = {}) {
    Command command;
    command.tag = "t" + std::to_string(++tags);
    command.verb = verb;
    if (!set.empty()) command.set = *wire::SequenceSet::parse(set);
    command.parts = {command.tag + " …\r\n"};
    return command;
  }
  // The client sends it, and the proxy reads it. Returns its tag.
  std::string asks(Command command) {
    const auto shared = std::make_shared<const Command>(std::move(command));
    audit->sends(shared, shared->parts.front());
    audit->on_delivered(shared->parts.front());
    return shared->tag;
  }
  std::string fetches(const std::string& set, std::vector<std::string> items, Verb verb = Verb::kFetch) {
    auto command = make(verb, set);
    command.items = std::move(items);
    return asks(std::move(command));
  }
  std::string stores(const std::string& set, demo::StoreMode mode, demo::Flags flags, bool silent) {
    auto command = make(Verb::kStore, set);
    command.mode = mode;
    command.flags = std::move(flags);
    command.silent = silent;
    return asks(std::move(command));
  }
  std::string searches(const std::string& keys) {
    auto command = make(Verb::kSearch);
    command.keys = keys;
    return asks(std::move(command));
  }
  std::string copies(const std::string& set) {
    auto command = make(Verb::kCopy, set);
    command.mailbox = "Archive";
    return asks(std::move(command));
  }
  std::string appends(uint32_t number) {
    auto command = make(Verb::kAppend);
    command.mailbox = "Archive";
    command.token = token(number);
    return asks(std::move(command));
  }
  void says(const std::string& line) { audit->on_written(line + "\r\n"); }
  void opens(Verb verb = Verb::kSelect, uint32_t exists = 3) {
    auto command = make(verb);
    command.mailbox = "INBOX";
    const auto tag = asks(std::move(command));
    says("* " + std::to_string(exists) + " EXISTS");
    says("* 0 RECENT");
    says("* OK [UIDVALIDITY 7] fine");
    says(tag + (verb == Verb::kSelect ? " OK [READ-WRITE] done" : " OK [READ-ONLY] done"));
  }
  void knows_all() {
    const auto tag = fetches("1:3", {"UID", "FLAGS"});
    for (int i = 1; i <= 3; ++i)
      says("* " + std::to_string(i) + " FETCH (UID " + std::to_string(i) + " FLAGS ())");
    says(tag + " OK done");
  }
  void noop() { says(asks(make(Verb::kNoop)) + " OK done"); }

  void expect_fine() const { EXPECT_FALSE(world.verdict.failed()) << world.verdict.what(); }
  void expect_failure(const std::string& part) const {
    EXPECT_TRUE(world.verdict.failed());
    EXPECT_NE(world.verdict.what().find(part), std::string::npos) << world.verdict.what();
  }

  World world{1, false};
  demo::MailStore store{7};
  MailHistory history{store, world.moments};
  Promises promises;
  Rules rules;
  std::shared_ptr<SessionAudit> audit;
  bool outside = false;
  bool explained = true;
  uint32_t tags = 0;
};

TEST_F(Audit, GoodSessionIsFine) {
  opens();
  knows_all();
  noop();
  audit->settled();
  audit->look_after();
  expect_fine();
}

TEST_F(Audit, FlagsThatAreOlderThanTheQuestion) {
  opens();
  knows_all();
  outside = true;
  set_flags(2, {"\\Seen"});
  auto tag = fetches("1:3", {"FLAGS"});
  for (const auto* told : {"1 FETCH (FLAGS ())", "2 FETCH (FLAGS (\\Seen))", "3 FETCH (FLAGS ())"})
    says("* " + std::string(told));
  says(tag + " OK done");
  expect_fine();
  set_flags(2, {"\\Flagged"});
  tag = fetches("2", {"FLAGS"});
  says("* 2 FETCH (FLAGS (\\Seen))");
  says(tag + " OK done");
  expect_failure("had other flags");
}

TEST_F(Audit, ExpungeWhileFetchRuns) {
  opens();
  fetches("1", {"FLAGS"});
  says("* 3 EXPUNGE");
  expect_failure("3 EXPUNGE while t2 FETCH");
}

TEST_F(Audit, ExpungeWhileFetchWaitsBehindNoop) {
  opens();
  asks(make(Verb::kNoop));
  fetches("1", {"FLAGS"});
  says("* 3 EXPUNGE");
  expect_failure("EXPUNGE while");
}

TEST_F(Audit, ExpungeWithUidFetchIsFine) {
  opens();
  fetches("1", {"FLAGS"}, Verb::kUidFetch);
  says("* 3 EXPUNGE");
  expect_fine();
}

TEST_F(Audit, ExpungeWithoutCommand) {
  opens();
  says("* 3 EXPUNGE");
  expect_failure("no command is in progress");
}

TEST_F(Audit, ExpungeOfOneThatIsThere) {
  opens();
  knows_all();
  asks(make(Verb::kNoop));
  says("* 2 EXPUNGE");
  expect_failure("UID 2 is still there");
}

TEST_F(Audit, ExpungeBeyondExists) {
  opens();
  asks(make(Verb::kNoop));
  says("* 4 EXPUNGE");
  expect_failure("3 EXISTS");
}

TEST_F(Audit, ExistsShrinks) {
  opens();
  asks(make(Verb::kNoop));
  says("* 2 EXISTS");
  expect_failure("EXISTS shrinks from 3 to 2");
}

TEST_F(Audit, ExistsOfNoMessages) {
  opens();
  asks(make(Verb::kNoop));
  says("* 9 EXISTS");
  expect_failure("never were more");
}

TEST_F(Audit, MoreRecentThanExist) {
  opens();
  asks(make(Verb::kNoop));
  says("* 4 RECENT");
  expect_failure("4 RECENT of 3 EXISTS");
}

TEST_F(Audit, NumberBeyondExists) {
  opens();
  fetches("1:*", {"FLAGS"});
  says("* 4 FETCH (FLAGS ())");
  expect_failure("message 4 is told of where 3 EXISTS");
}

TEST_F(Audit, AnotherUidForANumber) {
  opens();
  knows_all();
  fetches("2", {"UID"});
  says("* 2 FETCH (UID 3)");
  expect_failure("message 2 was UID 2, and now is UID 3");
}

TEST_F(Audit, UidsDoNotAscend) {
  opens();
  fetches("1:2", {"UID"});
  says("* 1 FETCH (UID 3)");
  says("* 2 FETCH (UID 2)");
  expect_failure("message 2 is UID 2, but message 1 is UID 3");
}

TEST_F(Audit, BodyOfAnotherMessage) {
  opens();
  knows_all();
  fetches("2", {"BODY[TEXT]"});
  says("* 2 FETCH (BODY[TEXT] \"This is tok-3.\")");
  expect_failure("message 2 (UID 2) is tok-2.");
}

TEST_F(Audit, UidNobodyAskedFor) {
  opens();
  fetches("2", {"FLAGS"});
  says("* 2 FETCH (UID 2 FLAGS ())");
  expect_failure("a UID that nobody asked for");
}

TEST_F(Audit, FlagsItNeverHad) {
  opens();
  knows_all();
  fetches("2", {"FLAGS"});
  says("* 2 FETCH (FLAGS (\\Seen))");
  expect_failure("did not have the flags (\\Seen)");
}

TEST_F(Audit, FlagsItHadLongAgo) {
  outside = true;
  set_flags(2, {"\\Seen"});
  set_flags(2, {"\\Draft"});
  opens();
  const auto tag = fetches("2", {"UID", "FLAGS"});
  says("* 2 FETCH (UID 2 FLAGS (\\Draft))");
  says(tag + " OK done");
  expect_fine();
  fetches("2", {"FLAGS"});
  says("* 2 FETCH (FLAGS (\\Seen))");
  expect_failure("since they were told last");
}

TEST_F(Audit, FetchWithoutAnswer) {
  opens();
  knows_all();
  const auto tag = fetches("1:2", {"FLAGS"});
  says("* 1 FETCH (FLAGS ())");
  says(tag + " OK done");
  expect_failure("nothing came for UID 2");
}

TEST_F(Audit, ItemByAnotherName) {
  opens();
  knows_all();
  const auto tag = fetches("1", {"RFC822.TEXT"});
  says("* 1 FETCH (BODY[TEXT] \"This is tok-1.\r\nxxxxxxxxxx\")");
  says(tag + " OK done");
  EXPECT_TRUE(world.verdict.failed());
}

TEST_F(Audit, OutOfRangeIsNotBad) {
  opens();
  says(fetches("4", {"FLAGS"}) + " OK done");
  expect_failure("the answer is not BAD");
}

TEST_F(Audit, BadWithoutReason) {
  opens();
  says(fetches("3", {"FLAGS"}) + " BAD what?");
  expect_failure("BAD: what?");
}

TEST_F(Audit, AnsweredTwice) {
  noop();
  says("t1 OK done");
  expect_failure("answered twice");
}

TEST_F(Audit, GoAheadForNobody) {
  says("+ go ahead");
  expect_failure("where no command waits");
}

TEST_F(Audit, ByeForNobody) {
  says("* BYE");
  expect_failure("nobody asked for it");
}

TEST_F(Audit, NotAnsweredInTime) {
  asks(make(Verb::kNoop));
  world.scheduler.advance(rules.answer_limit + base::Millis(1));
  audit->look_after();
  expect_failure("t1 is not answered");
}

TEST_F(Audit, SearchFindsWhatIsNotKnown) {
  opens();
  searches("ALL");
  says("* SEARCH 1 2 4");
  expect_failure("message 4 is told of");
}

TEST_F(Audit, SearchFindsTheWrongOne) {
  opens();
  knows_all();
  noop();
  const auto tag = searches("NOT 2");
  says("* SEARCH 1 2");
  says(tag + " OK done");
  expect_failure("is found, and should not be");
}

TEST_F(Audit, SearchForgetsOne) {
  opens();
  knows_all();
  noop();
  const auto tag = searches("OR 1:2 (UNSEEN 3)");
  says("* SEARCH 1 2");
  says(tag + " OK done");
  expect_failure("message 3 (UID 3) is not found");
}

TEST_F(Audit, StoreThatWasNotDone) {
  opens();
  knows_all();
  const auto tag = stores("2", demo::StoreMode::kAdd, {"\\Seen"}, true);
  says(tag + " OK done");
  expect_failure("UID 2 never had the flags");
}

TEST_F(Audit, StoreOnAnotherMessage) {
  opens();
  knows_all();
  stores("2", demo::StoreMode::kAdd, {"\\Seen"}, true);
  set_flags(3, {"\\Seen"});
  EXPECT_FALSE(explained);
}

// UID 3 is gone, and the client does not know it: "3:*" is no other message.
TEST_F(Audit, StarOfUidsIsTheBackends) {
  rules.access = Access::kShared;
  opens();
  knows_all();
  outside = true;
  store.expunge("alice", "INBOX", 3);
  outside = false;
  auto command = make(Verb::kUidStore, "3:*");
  command.mode = demo::StoreMode::kAdd;
  command.flags = {"\\Seen"};
  asks(std::move(command));
  set_flags(2, {"\\Seen"});
  EXPECT_FALSE(explained);
}

TEST_F(Audit, SilentStoreIsConcluded) {
  opens();
  knows_all();
  const auto tag = stores("2", demo::StoreMode::kAdd, {"\\Seen"}, true);
  set_flags(2, {"\\Seen"});
  EXPECT_TRUE(explained);
  says(tag + " OK done");
  audit->settled();
  expect_fine();
}

TEST_F(Audit, UpdateHiddenBySilent) {
  opens();
  knows_all();
  const auto tag = stores("2", demo::StoreMode::kAdd, {"\\Seen"}, true);
  outside = true;
  set_flags(2, {"\\Flagged", "\\Seen"});
  says(tag + " OK done");
  audit->settled();
  expect_failure("is known with the flags (\\Seen), and has (\\Flagged \\Seen)");
}

TEST_F(Audit, NoopKeepsNewsBack) {
  rules.access = Access::kShared;
  opens();
  deliver(4);
  noop();
  expect_failure("3 messages are known, and 4 are there");
}

TEST_F(Audit, NoopKeepsExpungeBack) {
  rules.access = Access::kShared;
  opens();
  knows_all();
  outside = true;
  store.expunge("alice", "INBOX", 1);
  noop();
  expect_failure("message 1 (UID 1) is gone, which was not told");
}

TEST_F(Audit, IdleHearsNothing) {
  rules.access = Access::kShared;
  opens();
  asks(make(Verb::kIdle));
  says("+ idling");
  deliver(4);
  audit->look_after();
  expect_fine();
  world.scheduler.advance(rules.idle_limit + base::Millis(1));
  audit->look_after();
  expect_failure("in IDLE for a while");
}

TEST_F(Audit, ExamineChangesSomething) {
  opens(Verb::kExamine);
  auto command = make(Verb::kFetch, "2");
  command.sets_seen = true;
  asks(std::move(command));
  set_flags(2, {"\\Seen"});
  EXPECT_FALSE(explained);
}

TEST_F(Audit, FetchSetsSeen) {
  opens();
  auto command = make(Verb::kFetch, "2");
  command.sets_seen = true;
  asks(std::move(command));
  set_flags(2, {"\\Seen"});
  EXPECT_TRUE(explained);
}

TEST_F(Audit, ExpungeOfWhatWasNotDeleted) {
  opens();
  asks(make(Verb::kExpunge));
  store.expunge("alice", "INBOX", 2);
  EXPECT_FALSE(explained);
}

TEST_F(Audit, AppendIsLost) {
  says(appends(9) + " OK done");
  expect_failure("acknowledged 1 times and is there 0 times");
}

TEST_F(Audit, AppendTwice) {
  const auto tag = appends(9);
  store.append("alice", "Archive", mail_text(token(9), 0));
  EXPECT_TRUE(explained);
  store.append("alice", "Archive", mail_text(token(9), 0));
  expect_failure("came 2 times");
}

TEST_F(Audit, RefusedAppendIsThereAllTheSame) {
  const auto tag = appends(9);
  store.append("alice", "Archive", mail_text(token(9), 0));
  says(tag + " NO no");
  expect_failure("came 1 times, was acknowledged 0 times");
}

TEST_F(Audit, CopyOfOneIsMissing) {
  opens();
  knows_all();
  const auto tag = copies("1:2");
  store.append("alice", "Archive", mail_text(token(1), 0));
  says(tag + " OK done");
  expect_failure("tok-2. was acknowledged 1 times and is there 0 times");
}

TEST_F(Audit, CopyOfAnother) {
  opens();
  knows_all();
  copies("1");
  store.append("alice", "Archive", mail_text(token(2), 0));
  EXPECT_FALSE(explained);
  expect_failure("came 1 times");
}

TEST_F(Audit, CopyUidIsWrong) {
  opens();
  knows_all();
  const auto tag = copies("1");
  store.append("alice", "Archive", mail_text(token(1), 0));
  says(tag + " OK [COPYUID 8 2 1] done");
  expect_failure("COPYUID says");
}

TEST_F(Audit, SelectForgetsAMessage) {
  opens(Verb::kSelect, 2);
  expect_failure("2 messages are known, and 3 are there");
}

TEST_F(Audit, StatusIsWrong) {
  auto command = make(Verb::kStatus);
  command.mailbox = "INBOX";
  const auto tag = asks(std::move(command));
  says("* STATUS INBOX (MESSAGES 2)");
  says(tag + " OK done");
  expect_failure("MESSAGES is wrong");
}

}  // namespace
}  // namespace imapmux::simulation
