#include "wire/command_table.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/bytes.h"

namespace imapmux::wire {
namespace {

// The names of all commands for which `has` is true, in the table's order.
template <class Has>
std::string names_of(Has has) {
  std::string out;
  for (const CommandInfo& command : all_commands()) {
    if (!has(command)) continue;
    if (!out.empty()) out += ", ";
    out += command.name;
  }
  return out;
}

TEST(CommandTable, FindsEveryCommandByItsNameInAnyCase) {
  EXPECT_EQ(all_commands().size(), static_cast<size_t>(Verb::kUidThread));
  for (const CommandInfo& command : all_commands()) {
    const bool uid = command.name.starts_with("UID ");
    const std::string name(command.name.substr(uid ? 4 : 0));
    EXPECT_EQ(find_verb(name, uid), command.verb) << name;
    EXPECT_EQ(find_verb(base::lower(name), uid), command.verb) << name;
    EXPECT_EQ(&info(command.verb), &command);
    EXPECT_NE(find_verb(name, !uid), command.verb);
    EXPECT_EQ(find_verb(name + "X", uid), Verb::kUnknown);
    EXPECT_EQ(find_verb(name.substr(1), uid),
              name == "UNSUBSCRIBE" ? Verb::kUnknown : find_verb(name.substr(1), uid));
  }
}

TEST(CommandTable, KnowsWhatIsNoCommand) {
  for (const std::string_view name :
       {"", "X", "UID", "FETC", "FETCHES", "NO OP", "UID FETCH", "\xff\x80", "ZZZ"}) {
    EXPECT_EQ(find_verb(name, false), Verb::kUnknown) << name;
    EXPECT_EQ(find_verb(name, true), Verb::kUnknown) << name;
  }
  EXPECT_EQ(find_verb("NOOP", true), Verb::kUnknown);
  EXPECT_EQ(info(Verb::kUnknown).verb, Verb::kUnknown);
  EXPECT_EQ(info(static_cast<Verb>(250)).verb, Verb::kUnknown);
  EXPECT_EQ(info(Verb::kUnknown).states, 0);
}

TEST(CommandTable, TellsNoExpungeWhereNumbersWouldShift) {
  EXPECT_EQ(names_of([](const CommandInfo& c) { return !c.may_expunge; }),
            "SEARCH, FETCH, STORE, SORT, THREAD");
}

TEST(CommandTable, Pipelines) {
  EXPECT_EQ(names_of([](const CommandInfo& c) { return c.pipelines; }),
            "NOOP, CHECK, SEARCH, FETCH, STORE, SORT, THREAD, UID SEARCH, UID FETCH, UID STORE, UID SORT, "
            "UID THREAD");
}

TEST(CommandTable, Writes) {
  EXPECT_EQ(names_of([](const CommandInfo& c) { return c.writes; }),
            "EXPUNGE, STORE, MOVE, UID EXPUNGE, UID STORE, UID MOVE");
}

TEST(CommandTable, Repeats) {
  EXPECT_EQ(names_of([](const CommandInfo& c) { return c.repeatable; }),
            "NOOP, SUBSCRIBE, UNSUBSCRIBE, LIST, LSUB, STATUS, SEARCH, FETCH, STORE, SORT, THREAD, UID "
            "SEARCH, UID FETCH, "
            "UID STORE, UID SORT, UID THREAD");
}

TEST(CommandTable, UsesNumbers) {
  EXPECT_EQ(names_of([](const CommandInfo& c) { return c.uses_numbers; }),
            "EXPUNGE, SEARCH, FETCH, STORE, COPY, MOVE, SORT, THREAD, UID EXPUNGE, UID SEARCH, UID FETCH, "
            "UID STORE, "
            "UID MOVE, UID SORT, UID THREAD");
}

TEST(CommandTable, KnowsStates) {
  EXPECT_EQ(names_of([](const CommandInfo& c) { return c.states == kAnyState; }),
            "CAPABILITY, NOOP, LOGOUT, ID");
  EXPECT_EQ(names_of([](const CommandInfo& c) {
              return c.states == static_cast<uint8_t>(State::kNotAuthenticated);
            }),
            "STARTTLS, AUTHENTICATE, LOGIN");
  EXPECT_EQ(names_of([](const CommandInfo& c) { return c.states == static_cast<uint8_t>(State::kSelected); }),
            "CHECK, CLOSE, UNSELECT, EXPUNGE, SEARCH, FETCH, STORE, COPY, MOVE, SORT, THREAD, UID EXPUNGE, "
            "UID SEARCH, "
            "UID FETCH, UID STORE, UID COPY, UID MOVE, UID SORT, UID THREAD");
}

TEST(CommandTable, KnowsWhatOpensMailboxes) {
  EXPECT_EQ(names_of([](const CommandInfo& c) { return c.opens != Opens::kNothing; }),
            "SELECT, EXAMINE, DELETE, RENAME, STATUS, APPEND, COPY, MOVE, UID COPY, UID MOVE");
  EXPECT_EQ(names_of([](const CommandInfo& c) { return c.opens == Opens::kCopyTarget; }),
            "COPY, MOVE, UID COPY, UID MOVE");
}

TEST(CommandTable, KnowsCapabilities) {
  EXPECT_EQ(names_of([](const CommandInfo& c) { return !c.capability.empty(); }),
            "GETQUOTA, GETQUOTAROOT, SETQUOTA, GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS, GETMETADATA, "
            "SETMETADATA, "
            "MOVE, SORT, THREAD, UID EXPUNGE, UID MOVE, UID SORT, UID THREAD");
  EXPECT_EQ(info(Verb::kUidExpunge).capability, "UIDPLUS");
  EXPECT_EQ(info(Verb::kUidThread).capability, "THREAD=ORDEREDSUBJECT|THREAD=REFERENCES|THREAD=REFS");
}

}  // namespace
}  // namespace imapmux::wire
