// Every command, in the forms that are let through and in those that are not.
#include "session/command_check.h"

#include <gtest/gtest.h>

#include "wire/command_table.h"

namespace imapmux::session {
namespace {

using Names = std::vector<std::string>;

// As a client would send it, literals included; for a streamed literal, the command so far.
wire::Command command(const std::string& text) {
  wire::CommandParser parser({});
  const std::string line = "a " + text + "\r\n";
  std::string_view input = line;
  for (;;) {
    switch (parser.next(input)) {
      case wire::CommandParser::Event::kCommand:
      case wire::CommandParser::Event::kLiteralStart:
        return parser.take();
      case wire::CommandParser::Event::kContinue:
        break;
      default:
        ADD_FAILURE() << "no command: " << text << " " << parser.problem();
        return {};
    }
  }
}

void expect_fine(std::initializer_list<const char*> texts) {
  for (const std::string text : texts) EXPECT_EQ(problem_with(command(text)), std::nullopt) << text;
}
void expect_refused(std::initializer_list<const char*> texts) {
  for (const std::string text : texts) {
    const auto problem = problem_with(command(text));
    ASSERT_TRUE(problem) << text;
    EXPECT_FALSE(problem->empty());
    for (const char c : *problem) EXPECT_TRUE(c >= ' ' && c <= '~') << "fit for a tagged BAD: " << *problem;
  }
}

TEST(CommandCheckTest, CommandsWithoutArgumentsTakeNone) {
  for (const std::string name :
       {"CAPABILITY", "NOOP", "LOGOUT", "NAMESPACE", "IDLE", "CHECK", "CLOSE", "UNSELECT", "EXPUNGE"}) {
    EXPECT_EQ(problem_with(command(name)), std::nullopt) << name;
    EXPECT_TRUE(problem_with(command(name + " x"))) << name;
    EXPECT_TRUE(problem_with(command(name + " (x)"))) << name;
  }
}

TEST(CommandCheckTest, CommandsWithOneNameTakeNoParameters) {
  for (const std::string name : {"SELECT", "EXAMINE", "CREATE", "DELETE", "SUBSCRIBE", "UNSUBSCRIBE"}) {
    for (const std::string argument : {" inbox", " \"a b\"", " {3}\r\na)b", " \"\"", " &ZeVnLIqe-"})
      EXPECT_EQ(problem_with(command(name + argument)), std::nullopt) << name + argument;
    for (const std::string argument : {"", " (x)", " inbox (CONDSTORE)", " inbox (QRESYNC (1 2))",
                                       " inbox (USE (\\Trash))", " a b", " \"a", " inbox (", " a\"b\""})
      EXPECT_TRUE(problem_with(command(name + argument))) << name + argument;
  }
}

TEST(CommandCheckTest, RenameTakesTwoNames) {
  expect_fine({"RENAME a b", "RENAME \"a b\" {3}\r\nc d"});
  expect_refused({"RENAME", "RENAME a", "RENAME a b c", "RENAME a b (x)"});
}

TEST(CommandCheckTest, ListTakesExtensionsButNotThoseThatOpenMailboxes) {
  expect_fine({"LIST \"\" *", "LIST \"\" %", "LIST ref/ \"\"", "LIST \"\" {1}\r\n*",
               "LIST \"\" (a b \"c d\")", "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" *", "LIST () \"\" *",
               "list (remote special-use) \"\" *", "LIST \"\" * RETURN (CHILDREN SUBSCRIBED)",
               "LIST \"\" * return (special-use)", "LIST \"\" * RETURN ()"});
  expect_refused({"LIST", "LIST \"\"", "LIST \"\" * x", "LIST \"\" * RETURN",
                  "LIST \"\" * RETURN (STATUS (MESSAGES))", "LIST \"\" * RETURN (CHILDREN STATUS (UNSEEN))",
                  "LIST \"\" * RETURN (MYRIGHTS)", "LIST \"\" * RETURN (METADATA (/a))",
                  "LIST (STATUS) \"\" *", "LIST (SUBSCRIBED \"\" *", "LIST \"\" ()", "LIST \"\" (a (b))",
                  "LIST \"\" (a", "LIST \"\" * RETURN (CHILDREN) x",
                  "LIST \"\" * RETURN \"(STATUS (MESSAGES))\"", "LIST \"\" *(STATUS)"});
}

TEST(CommandCheckTest, LsubTakesTwoNames) {
  expect_fine({"LSUB \"\" *", "LSUB ref %"});
  expect_refused({"LSUB", "LSUB \"\"", "LSUB \"\" * RETURN (CHILDREN)", "LSUB (x) \"\" *"});
}

TEST(CommandCheckTest, StatusTakesTheItemsThatSetNoState) {
  expect_fine({"STATUS inbox (MESSAGES)", "STATUS \"a b\" (messages Recent UIDNEXT UIDVALIDITY UNSEEN)",
               "STATUS {1}\r\na (UNSEEN)"});
  expect_refused({"STATUS", "STATUS inbox", "STATUS inbox ()", "STATUS inbox MESSAGES",
                  "STATUS inbox (HIGHESTMODSEQ)", "STATUS inbox (MESSAGES HIGHESTMODSEQ)",
                  "STATUS inbox (SIZE)", "STATUS inbox (MESSAGES) x", "STATUS inbox (MESSAGES",
                  "STATUS inbox (\"MESSAGES\")", "STATUS inbox (MESSAGES (X))"});
}

TEST(CommandCheckTest, FetchTakesEveryItemOfTheStandardAndNoModifier) {
  for (const std::string name : {"FETCH", "UID FETCH"}) {
    for (const std::string rest :
         {" 1 ALL", " 1:* fast", " * FULL", " 1,3:5 FLAGS", " 1 (FLAGS UID)",
          " 1 (ENVELOPE INTERNALDATE BODY)", " 1 BODYSTRUCTURE",
          " 1 (RFC822 RFC822.HEADER RFC822.SIZE RFC822.TEXT)", " 1 BODY[]",
          " 1 (BODY.PEEK[HEADER.FIELDS (FROM TO)]<0.100> BODY[1.2.MIME])", " 1 BINARY[1]",
          " 1 (BINARY.PEEK[1]<0.5> BINARY.SIZE[2])", " 1 body.peek[text]"})
      EXPECT_EQ(problem_with(command(name + rest)), std::nullopt) << name + rest;
    for (const std::string rest : {"",
                                   " 1",
                                   " 1 ",
                                   " x FLAGS",
                                   " 0 FLAGS",
                                   " $ FLAGS",
                                   " 1 ()",
                                   " 1 (ALL)",
                                   " 1 MODSEQ",
                                   " 1 (FLAGS MODSEQ)",
                                   " 1 FLAGS (CHANGEDSINCE 7)",
                                   " 1 (FLAGS) (CHANGEDSINCE 7)",
                                   " 1:* (FLAGS) (CHANGEDSINCE 7 VANISHED)",
                                   " 1 (FLAGS)(CHANGEDSINCE 7)",
                                   " 1 FLAGS UID",
                                   " 1 (FLAGS",
                                   " 1 X-GM-MSGID",
                                   " 1 (EMAILID)",
                                   " 1 PREVIEW",
                                   " 1 \"FLAGS\"",
                                   " 1 BODY.PEEK",
                                   " 1 XBODY[]",
                                   " 1 (FLAGS (UID))",
                                   " 1 {5}\r\nFLAGS"})
      EXPECT_TRUE(problem_with(command(name + rest))) << name + rest;
  }
}

TEST(CommandCheckTest, StoreTakesFlagsAndNoModifier) {
  for (const std::string name : {"STORE", "UID STORE"}) {
    for (const std::string rest :
         {" 1 FLAGS (\\Seen)", " 1:* +flags \\Deleted", " 1 -FLAGS.SILENT (a $b \\Draft)", " 1 FLAGS ()",
          " 1 +FLAGS \\Seen \\Deleted"})
      EXPECT_EQ(problem_with(command(name + rest)), std::nullopt) << name + rest;
    for (const std::string rest :
         {"", " 1", " 1 FLAGS", " 1 FLAGS ", " 1 XFLAGS (a)", " 1 (UNCHANGEDSINCE 5) FLAGS (a)",
          " 1 (UNCHANGEDSINCE 5) +FLAGS.SILENT (\\Deleted)", " x FLAGS (a)", " $ FLAGS (a)", " 1 FLAGS (a",
          " 1 ANNOTATION (/comment (value.priv \"x\"))", " 1 +X-GM-LABELS (a)"})
      EXPECT_TRUE(problem_with(command(name + rest))) << name + rest;
  }
}

TEST(CommandCheckTest, SearchTakesNoKeyThatSetsStateAndSavesNothing) {
  for (const std::string name : {"SEARCH", "UID SEARCH"}) {
    for (const std::string rest :
         {" ALL", " 1:5 UNSEEN", " CHARSET UTF-8 SUBJECT {2}\r\n\xc3\xa9", " RETURN (MIN MAX COUNT ALL) ALL",
          " RETURN () ALL", " OR (FROM a) NOT UID 1:*", " OLDER 5", " HEADER \"X\" \"\""})
      EXPECT_EQ(problem_with(command(name + rest)), std::nullopt) << name + rest;
    for (const std::string rest :
         {"", " RETURN (SAVE) ALL", " RETURN (MIN SAVE) ALL", " RETURN (save) ALL", " $", " UID $",
          " OR $ ALL", " MODSEQ 7", " MODSEQ \"/flags/\\\\draft\" all 7", " RETURN (UPDATE) ALL",
          " RETURN (CONTEXT) ALL", " RETURN (PARTIAL 1:5) ALL", " X-GM-RAW x", " FUZZY SUBJECT x", " (ALL",
          " INTHREAD x y", " SAVEDSINCE 1-Jan-2020"})
      EXPECT_TRUE(problem_with(command(name + rest))) << name + rest;
  }
}

TEST(CommandCheckTest, SortAndThreadTakeTheStandardsForms) {
  for (const std::string uid : {"", "UID "}) {
    for (const std::string rest :
         {"SORT (REVERSE DATE SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL",
          "SORT (ARRIVAL) US-ASCII 1:5", "THREAD ORDEREDSUBJECT US-ASCII TEXT \"a\""})
      EXPECT_EQ(problem_with(command(uid + rest)), std::nullopt) << uid + rest;
    for (const std::string rest :
         {"SORT", "SORT (DATE)", "SORT (DATE) UTF-8", "SORT DATE UTF-8 ALL",
          "SORT RETURN (SAVE) (DATE) UTF-8 ALL", "SORT (DATE) UTF-8 MODSEQ 5", "SORT (DATE) UTF-8 $",
          "THREAD REFERENCES", "THREAD REFERENCES UTF-8", "THREAD REFERENCES UTF-8 $", "SORT () UTF-8 ALL"})
      EXPECT_TRUE(problem_with(command(uid + rest))) << uid + rest;
  }
}

TEST(CommandCheckTest, CopyAndMoveTakeASetAndAName) {
  for (const std::string name : {"COPY", "MOVE", "UID COPY", "UID MOVE"}) {
    for (const std::string rest : {" 1 Trash", " 1:*,7 \"a b\"", " * {1}\r\na"})
      EXPECT_EQ(problem_with(command(name + rest)), std::nullopt) << name + rest;
    for (const std::string rest :
         {"", " 1", " Trash 1", " $ Trash", " 1 Trash x", " 1 (Trash)", " 1 Trash (x)"})
      EXPECT_TRUE(problem_with(command(name + rest))) << name + rest;
  }
}

TEST(CommandCheckTest, UidExpungeTakesASet) {
  expect_fine({"UID EXPUNGE 1:5", "UID EXPUNGE *"});
  expect_refused({"UID EXPUNGE", "UID EXPUNGE x", "UID EXPUNGE $", "UID EXPUNGE 1 2"});
}

TEST(CommandCheckTest, AppendTakesFlagsAndADateBeforeItsMessage) {
  expect_fine({"APPEND inbox {5}", "APPEND inbox {5+}", "APPEND \"a b\" (\\Seen $x) {5}",
               "APPEND a \"17-Jul-1996 02:44:25 -0700\" {5}",
               "APPEND a (\\Seen) \" 7-Jul-1996 02:44:25 -0700\" {5}", "APPEND {3}\r\na b {5}",
               "APPEND a () ~{5}"});
  expect_refused({"APPEND", "APPEND inbox", "APPEND a CATENATE (URL \"/x\")",
                  "APPEND a (\\Seen) CATENATE (URL \"/INBOX;UIDVALIDITY=1/;UID=2\")",
                  "APPEND a CATENATE (TEXT {5}", "APPEND a UTF8 (~{5}", "APPEND a (~{5}",
                  "APPEND a ANNOTATION (x) {5}", "APPEND a \\Seen {5}", "APPEND a (\\Seen {5}",
                  "APPEND a \"x {5}"});
}

TEST(CommandCheckTest, AnAppendWithoutAMessageIsRefused) {
  expect_refused({"APPEND inbox (\\Seen)", "APPEND inbox (\\Seen) \"17-Jul-1996 02:44:25 -0700\"",
                  "APPEND inbox \"hello\""});
}

TEST(CommandCheckTest, OtherCommandsMustBeWellFormed) {
  expect_fine({"GETQUOTA \"\"", "GETQUOTAROOT inbox", "SETQUOTA \"\" (STORAGE 512)", "GETACL inbox",
               "SETACL inbox bob lrs", "DELETEACL inbox bob", "LISTRIGHTS inbox bob", "MYRIGHTS inbox",
               "GETMETADATA \"\" /shared/comment", "GETMETADATA (DEPTH 1) \"\" (/private/a)",
               "SETMETADATA inbox (/private/comment {2}\r\nab)", "ID NIL", "ID (\"name\" \"x\")",
               "ENABLE CONDSTORE", "LOGIN bob {6}\r\nsecret", "FROBNICATE x"});
  expect_refused({"GETACL (inbox", "GETACL inbox)", "SETQUOTA \"\" (STORAGE 512", "GETQUOTA \"",
                  "MYRIGHTS a  b"
                  " (",
                  "SETMETADATA inbox (/a \"x"});
}

TEST(CommandCheckTest, EveryCommandOfTheTableIsSafeFromOddArguments) {
  for (const auto& info : wire::all_commands()) {
    for (const std::string_view argument : {" ", " (", " )", " \"", " (((((", " 1", " 1 (", " 1 FLAGS (",
                                            " {0}\r\n", " NIL", " ()", " \"\" \"\""}) {
      const std::string text = std::string(info.name) + std::string(argument);
      wire::Command made;
      made.tag = "a";
      made.verb = info.verb;
      made.text = text;
      made.arguments_at = info.name.size() + 1;
      problem_with(made);
      opened_mailboxes(made);
      status_items(made);
    }
  }
}

TEST(CommandCheckTest, TheMailboxesThatACommandOpensAreTold) {
  EXPECT_EQ(opened_mailboxes(command("SELECT \"a \\\"b\\\"\"")), Names{"a \"b\""});
  EXPECT_EQ(opened_mailboxes(command("EXAMINE {3}\r\na b")), Names{"a b"});
  EXPECT_EQ(opened_mailboxes(command("STATUS box (MESSAGES)")), Names{"box"});
  EXPECT_EQ(opened_mailboxes(command("APPEND box (\\Seen) {5}")), Names{"box"});
  EXPECT_EQ(opened_mailboxes(command("APPEND {3}\r\nbox {5}")), Names{"box"});
  EXPECT_EQ(opened_mailboxes(command("DELETE box")), Names{"box"});
  EXPECT_EQ(opened_mailboxes(command("RENAME old \"new\"")), (Names{"old", "new"}));
  for (const std::string name : {"COPY", "MOVE", "UID COPY", "UID MOVE"})
    EXPECT_EQ(opened_mailboxes(command(name + " 1:* box")), Names{"box"}) << name;
}

TEST(CommandCheckTest, OtherCommandsOpenNothing) {
  for (const std::string text : {"NOOP", "LIST \"\" *", "CREATE box", "SUBSCRIBE box", "FETCH 1 FLAGS",
                                 "CLOSE", "GETACL box", "LOGIN a b"})
    EXPECT_TRUE(opened_mailboxes(command(text)).empty()) << text;
}

TEST(CommandCheckTest, EveryCommandThatOpensAMailboxNamesIt) {
  for (const auto& info : wire::all_commands()) {
    if (info.opens == wire::Opens::kNothing) continue;
    const std::string text(info.name);
    const bool copies = info.opens == wire::Opens::kCopyTarget;
    const auto names = opened_mailboxes(command(text + (copies ? " 1 box new" : " box new")));
    EXPECT_EQ(names, info.verb == wire::Verb::kRename ? (Names{"box", "new"}) : Names{"box"}) << text;
  }
}

TEST(CommandCheckTest, BetweenTwoMessagesOfAnAppendStandFlagsAndADateOnly) {
  for (const char* fine :
       {" ", " (\\Seen) ", " \"01-Jan-2026 00:00:00 +0000\" ", " (\\Seen) \"01-Jan-2026 00:00:00 +0000\" "})
    EXPECT_TRUE(is_append_part(fine)) << fine;
  for (const char* bad : {"", "(\\Seen) ", " (\\Seen)", " CATENATE ", " UTF8 (", " {3+}\r\nabc ", " x"})
    EXPECT_FALSE(is_append_part(bad)) << bad;
}

TEST(CommandCheckTest, TheItemsOfStatusAreToldInUpperCase) {
  EXPECT_EQ(status_items(command("STATUS box (messages UidNext)")), (Names{"MESSAGES", "UIDNEXT"}));
  EXPECT_EQ(status_items(command("STATUS \"(UNSEEN)\" (RECENT)")), Names{"RECENT"});
}

}  // namespace
}  // namespace imapmux::session
