#include <gtest/gtest.h>

#include "demo/dates.h"
#include "demo/encoding.h"
#include "demo/envelope.h"
#include "demo/list_pattern.h"
#include "demo/mime.h"
#include "demo/sample_mail.h"
#include "demo/store.h"

namespace imapmux::demo {
namespace {

TEST(Dates, DateTimeRoundTrip) {
  for (const char* text : {"17-Jul-1996 02:44:25 -0700", " 1-Jan-1970 00:00:00 +0000",
                           "29-Feb-2024 23:59:59 +0530", "31-Dec-1969 23:00:00 -0100"}) {
    auto time = parse_date_time(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(format_date_time(*time), text);
  }
  EXPECT_EQ(parse_date_time("17-Jul-1996 02:44:25 -0700")->seconds, 837596665);
  for (const char* text : {"", "17-Jul-1996", "30-Feb-2024 00:00:00 +0000", "17-Jux-1996 02:44:25 -0700",
                           "17-Jul-1996 25:44:25 -0700", "17-Jul-1996 02:44:25 0700"}) {
    EXPECT_FALSE(parse_date_time(text)) << text;
  }
}

TEST(Dates, MailDates) {
  EXPECT_EQ(parse_mail_date("Wed, 17 Jul 1996 02:44:25 -0700")->seconds, 837596665);
  EXPECT_EQ(parse_mail_date("17 Jul 96 02:44 PDT (summer)")->seconds, 837596640);
  EXPECT_EQ(parse_mail_date("Thu,  1 Jan 1970 00:00:00 GMT")->seconds, 0);
  EXPECT_FALSE(parse_mail_date("yesterday"));
  EXPECT_EQ(parse_search_date("1-Feb-1994"), 8797);
}

TEST(Encoding, Base64) {
  for (std::string_view text : {"", "f", "fo", "foo", "foob"})
    EXPECT_EQ(decode_base64(encode_base64(text)), text);
  EXPECT_EQ(encode_base64("foob"), "Zm9vYg==");
  EXPECT_FALSE(decode_base64("Zm9*"));
  EXPECT_FALSE(decode_base64("Z"));
  EXPECT_FALSE(decode_base64("Zm=v"));
}

TEST(Encoding, EncodedWords) {
  EXPECT_EQ(decode_encoded_words("=?UTF-8?B?R3LDvMOfZSBhdXMgWsO8cmljaA==?="), "Grüße aus Zürich");
  EXPECT_EQ(decode_encoded_words("a =?iso-8859-1?q?=FC_x?= =?utf-8?Q?y?= z"), "a ü xy z");
  EXPECT_EQ(decode_encoded_words("=?broken"), "=?broken");
  EXPECT_EQ(decode_quoted_printable("a=3Db=\r\nc=zz"), "a=bc=zz");
}

TEST(ListPattern, Wildcards) {
  EXPECT_TRUE(matches_pattern("Archive/2024", "*"));
  EXPECT_FALSE(matches_pattern("Archive/2024", "%"));
  EXPECT_TRUE(matches_pattern("Archive/2024", "%/%"));
  EXPECT_TRUE(matches_pattern("Archive/2024", "Arch*24"));
  EXPECT_FALSE(matches_pattern("Archive/2024", "Archive"));
  EXPECT_TRUE(matches_pattern("INBOX", "inbox"));
  EXPECT_FALSE(matches_pattern("Sent", "sent"));
  EXPECT_TRUE(matches_pattern("a/b/c", "*%c"));
  EXPECT_TRUE(matches_pattern("a/b/c", "a%*c"));
  EXPECT_FALSE(matches_pattern(std::string(100, 'a'), "*a*a*a*a*a*a*a*a*a*a*a*a*a*b"));
}

std::string envelope(std::string_view header) {
  std::string out;
  write_envelope(out, header);
  return out;
}

TEST(Envelope, Defaults) {
  EXPECT_EQ(envelope("Date: today\r\nFrom: \"Ann B.\" <ann@example.org>\r\nSubject: a\r\n \"b\"\r\n\r\n"),
            R"(("today" "a \"b\"" (("Ann B." NIL "ann" "example.org")) (("Ann B." NIL "ann" "example.org")) )"
            R"((("Ann B." NIL "ann" "example.org")) NIL NIL NIL NIL NIL))");
  EXPECT_EQ(envelope("\r\n"), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
  EXPECT_EQ(envelope("Subject: f\xc3\xbc\r\nFrom: \r\n\r\n"),
            "(NIL {3}\r\nf\xc3\xbc NIL NIL NIL NIL NIL NIL NIL NIL)");
}

TEST(Envelope, Addresses) {
  auto one = [](std::string_view text) {
    auto addresses = parse_addresses(text);
    std::string out;
    for (const Address& a : addresses)
      out += "[" + a.name + "|" + a.route + "|" + a.mailbox + "|" + a.host + "]";
    return out;
  };
  EXPECT_EQ(one("a@b, \"C, D\" <c@d> , e@f (Eve)"), "[||a|b][C, D||c|d][Eve||e|f]");
  EXPECT_EQ(one("Friends: a@b, c@d;, x@y"), "[||Friends|][||a|b][||c|d][|||][||x|y]");
  EXPECT_EQ(one("undisclosed-recipients:;"), "[||undisclosed-recipients|][|||]");
  EXPECT_EQ(one("<@r1,@r2:a@b>"), "[|@r1,@r2|a|b]");
  EXPECT_EQ(one("John Q. Public <jqp@[127.0.0.1]>"), "[John Q. Public||jqp|[127.0.0.1]]");
  EXPECT_EQ(one("root"), "[||root|MISSING_DOMAIN]");
  EXPECT_EQ(one("\"a b\"@c"), "[||a b|c]");
  for (const char* text :
       {"<", ">", "<>", "\"", "(", "a:", ";", ",,,", "@", "<<a@b>", ":;:", "a@b@c", "a)b", ")"})
    one(text);
}

std::string structure(std::string_view text, bool extended = true) {
  std::string out;
  write_body_structure(out, parse_message(text), extended);
  return out;
}

TEST(Mime, Structures) {
  EXPECT_EQ(structure("Subject: x\r\n\r\nab\r\nc\r\n", false),
            R"(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 7 2))");
  EXPECT_EQ(
      structure(
          "Content-Type: image/png; name=\"a b.png\"\r\nContent-ID: <1@x>\r\n"
          "Content-Disposition: attachment; filename=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\nQQ=="),
      R"(("IMAGE" "PNG" ("NAME" "a b.png") "<1@x>" NIL "BASE64" 4 NIL ("ATTACHMENT" ("FILENAME" "a.png")) NIL NIL))");
  EXPECT_EQ(
      structure("Content-Type: multipart/mixed; boundary=x\r\n\r\npre\r\n--x\r\n\r\none\r\n--x\r\n"
                "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n\r\n--x--\r\npost",
                false),
      R"((("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 3 1)("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 21 )"
      R"((NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 6 1) 3) )"
      R"("MIXED"))");
  EXPECT_EQ(structure("Content-Type: multipart/mixed; boundary=x\r\n\r\nno parts", false),
            R"(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 8 1))");
}

TEST(Mime, FindPart) {
  std::string text =
      "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\nContent-Type: "
      "message/rfc822\r\n\r\n"
      "Subject: in\r\nContent-Type: multipart/mixed; "
      "boundary=y\r\n\r\n--y\r\n\r\ninner\r\n--y--\r\n--x--\r\n";
  MimePart root = parse_message(text);
  auto body = [&](std::vector<uint32_t> numbers) -> std::string {
    const MimePart* part = find_part(root, numbers);
    return part == nullptr ? "none" : std::string(part->body);
  };
  EXPECT_EQ(body({1}), "one");
  EXPECT_EQ(body({2, 1}), "inner");
  EXPECT_EQ(body({3}), "none");
  EXPECT_EQ(body({1, 1}), "none");
  EXPECT_EQ(body({2, 2}), "none");
  MimePart single = parse_message("\r\nonly");
  EXPECT_EQ(find_part(single, std::vector<uint32_t>{1})->body, "only");
  EXPECT_EQ(find_part(single, std::vector<uint32_t>{1, 1}), nullptr);
}

TEST(Mime, DeepNestingEnds) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "Content-Type: message/rfc822\r\n\r\n";
  EXPECT_FALSE(structure(text).empty());
}

TEST(Store, Mailboxes) {
  using Change = MailStore::Change;
  MailStore store(100);
  EXPECT_TRUE(store.ensure_user("u"));
  EXPECT_FALSE(store.ensure_user("u"));
  EXPECT_EQ(store.create("u", "a/b/c"), Change::kDone);
  EXPECT_TRUE(store.find("u", "a"));
  EXPECT_EQ(store.create("u", "a"), Change::kExists);
  store.append("u", "a/b", "x");
  auto id = store.find("u", "a/b");
  EXPECT_EQ(store.rename("u", "a/b", "d/e"), Change::kDone);
  EXPECT_EQ(store.find("u", "d/e"), id);
  EXPECT_TRUE(store.find("u", "d/e/c"));
  EXPECT_TRUE(store.find("u", "a"));
  EXPECT_EQ(store.rename("u", "d", "d/x"), Change::kNotAllowed);
  EXPECT_EQ(store.rename("u", "none", "y"), Change::kNoSuchMailbox);
  EXPECT_EQ(store.remove("u", "d/e"), Change::kDone);
  EXPECT_FALSE(store.find("u", "d/e")) << "\\Noselect";
  EXPECT_EQ(store.remove("u", "d/e"), Change::kHasChildren);
  EXPECT_EQ(store.remove("u", "INBOX"), Change::kNotAllowed);
  EXPECT_EQ(store.snapshot(*id).messages.size(), 0U);
  store.append("u", "INBOX", "mail");
  uint32_t validity = store.snapshot("u", "INBOX")->uid_validity;
  EXPECT_EQ(store.rename("u", "INBOX", "old"), Change::kDone);
  EXPECT_EQ(store.snapshot("u", "old")->messages.size(), 1U);
  EXPECT_EQ(store.snapshot("u", "INBOX")->messages.size(), 0U);
  EXPECT_EQ(store.snapshot("u", "INBOX")->uid_validity, validity);
}

TEST(Store, Listener) {
  MailStore store(1);
  store.ensure_user("u");
  int calls = 0;
  store.set_listener([&] { ++calls; });
  store.append("u", "INBOX", "a");
  EXPECT_TRUE(store.expunge("u", "INBOX", 1));
  EXPECT_FALSE(store.expunge("u", "INBOX", 1));
  EXPECT_FALSE(store.append("u", "none", "a"));
  EXPECT_EQ(calls, 2);
}

TEST(SampleMail, IsSound) {
  MailStore store;
  store.ensure_user("demo");
  add_sample_mail(store, "demo");
  auto inbox = store.snapshot("demo", "INBOX");
  ASSERT_EQ(inbox->messages.size(), 12U);
  size_t largest = 0;
  for (const Message& message : inbox->messages) {
    largest = std::max(largest, message.octets->size());
    EXPECT_GT(message.internal_date.seconds, 0);
    EXPECT_TRUE(header_value(*message.octets, "Subject"));
    MimePart part = parse_message(*message.octets);
    EXPECT_FALSE(part.body.empty());
    for (size_t i = 0; i < message.octets->size(); ++i) {
      if ((*message.octets)[i] == '\n') {
        ASSERT_EQ((*message.octets)[i - 1], '\r');
      }
    }
  }
  EXPECT_GT(largest, 190'000U);
  EXPECT_EQ(store.list("demo").size(), 6U);
  EXPECT_EQ(store.subscriptions("demo").size(), 6U);
}

}  // namespace
}  // namespace imapmux::demo
