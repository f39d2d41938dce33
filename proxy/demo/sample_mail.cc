#include "demo/sample_mail.h"

#include <fmt/core.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include "demo/encoding.h"

namespace imapmux::demo {

namespace {

// Source texts have "\n"; mail has CRLF.
std::string crlf(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

// Base64 in lines of 76 characters.
std::string base64_lines(std::string_view octets) {
  std::string encoded = encode_base64(octets);
  std::string out;
  for (size_t i = 0; i < encoded.size(); i += 76) out += encoded.substr(i, 76) + "\n";
  return out;
}

// "Mon, 4 Mar 2024 09:15:00 +0100" and the same as an internal date.
struct Sent {
  std::string_view header;
  ZonedTime date;
  explicit Sent(std::string_view text) : header(text), date(parse_mail_date(text).value_or(ZonedTime())) {}
};

std::string head(std::string_view from, std::string_view to, std::string_view subject, const Sent& sent,
                 int id) {
  return fmt::format(
      "From: {}\nTo: {}\nSubject: {}\nDate: {}\nMessage-ID: <demo-{}@example.org>\nMIME-Version: 1.0\n", from,
      to, subject, sent.header, id);
}

std::string plain(std::string_view header, std::string_view body) {
  return fmt::format("{}Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{}\n",
                     header, body);
}

// An octet stream that compresses badly and is the same on every machine.
std::string noise(size_t size) {
  std::string out;
  uint32_t state = 2463534242;
  while (out.size() < size) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    out += static_cast<char>(state & 0xff);
  }
  return out;
}

std::string with_attachment(std::string_view header) {
  return fmt::format(
      "{}Content-Type: multipart/mixed; boundary=\"outer-42\"\n\n"
      "This is a message in MIME format.\n"
      "--outer-42\n"
      "Content-Type: multipart/alternative; boundary=\"inner-42\"\n\n"
      "--inner-42\nContent-Type: text/plain; charset=us-ascii\n\n"
      "Hello,\n\nthe agenda for Thursday is attached. Please add what is missing.\n\nGrace\n"
      "--inner-42\nContent-Type: text/html; charset=us-ascii\n\n"
      "<p>Hello,</p><p>the <b>agenda</b> for Thursday is attached. Please add what is "
      "missing.</p><p>Grace</p>\n"
      "--inner-42--\n"
      "--outer-42\n"
      "Content-Type: text/csv; name=\"agenda.csv\"\nContent-Transfer-Encoding: base64\n"
      "Content-Disposition: attachment; filename=\"agenda.csv\"\nContent-Description: Agenda\n\n{}"
      "--outer-42--\n",
      header, base64_lines("time,topic\n09:00,mailbox locks\n10:00,move to the new host\n11:00,lunch\n"));
}

std::string with_scan(std::string_view header) {
  return fmt::format(
      "{}Content-Type: multipart/mixed; boundary=\"scan-7\"\n\n"
      "--scan-7\nContent-Type: text/plain; charset=us-ascii\n\nThe signed contract, as scanned this "
      "morning.\n"
      "--scan-7\nContent-Type: application/pdf; name=\"contract.pdf\"\nContent-Transfer-Encoding: base64\n"
      "Content-Disposition: attachment; filename=\"contract.pdf\"; size=148000\n\n{}--scan-7--\n",
      header, base64_lines(noise(148000)));
}

std::string forwarded(std::string_view header, std::string_view inner) {
  return fmt::format(
      "{}Content-Type: multipart/mixed; boundary=\"fwd-1\"\n\n"
      "--fwd-1\nContent-Type: text/plain; charset=us-ascii\n\nSee below.\n"
      "--fwd-1\nContent-Type: message/rfc822\nContent-Disposition: inline\n\n{}\n--fwd-1--\n",
      header, inner);
}

class Filler {
 public:
  Filler(MailStore& store, const std::string& user) : store_(store), user_(user) {}

  void folder(const std::string& name) {
    if (name != "INBOX") store_.create(user_, name);
    store_.subscribe(user_, name, true);
  }
  void add(const std::string& folder, const Sent& sent, std::string_view text, Flags flags) {
    store_.append(user_, folder, crlf(text), std::move(flags), sent.date);
  }

 private:
  MailStore& store_;
  const std::string& user_;
};

void fill_inbox(Filler& filler, std::string_view me) {
  int id = 0;
  auto add = [&](std::string_view date, std::string_view from, std::string_view subject,
                 std::string_view body, Flags flags) {
    Sent sent(date);
    filler.add("INBOX", sent, plain(head(from, me, subject, sent, ++id), body), std::move(flags));
  };
  add("Mon, 4 Mar 2024 09:15:00 +0100", "Grace Example <grace@example.org>", "Welcome to the demo",
      "This mailbox lives in memory, on a server that allows one session per mailbox.\n"
      "Open it with two mail clients at once: both work, because imapmux shares one session.",
      {"\\Seen"});
  add("Tue, 5 Mar 2024 11:02:41 +0000", "Alan Example <alan@example.org>", "Lunch on Friday?",
      "The place by the canal has a table for four at half past twelve.\nShall I book it?\n\nAlan",
      {"\\Seen", "\\Answered"});

  Sent agenda("Wed, 6 Mar 2024 16:30:12 +0100");
  filler.add(
      "INBOX", agenda,
      with_attachment(head("Grace Example <grace@example.org>", me, "Agenda for Thursday", agenda, ++id)),
      {"\\Seen", "\\Flagged"});

  // "Grüße aus Zürich", "Jürg Müller"
  add("Thu, 7 Mar 2024 08:00:05 +0100", "=?UTF-8?Q?J=C3=BCrg_M=C3=BCller?= <juerg@example.ch>",
      "=?UTF-8?B?R3LDvMOfZSBhdXMgWsO8cmljaA==?=",
      "Liebe Grüße aus Zürich! Der See ist noch kalt, die Sonne schon warm.\n\nJürg", {});
  add("Thu, 7 Mar 2024 19:45:00 -0500", "\"Build Robot\" <builds@example.org>", "Build 1841 succeeded",
      "All 912 tests passed in 4 minutes 10 seconds.", {"\\Seen", "$Automatic"});

  Sent scan("Fri, 8 Mar 2024 10:20:30 +0100");
  filler.add("INBOX", scan,
             with_scan(head("Ada Example <ada@example.org>", me, "Signed contract (scan)", scan, ++id)), {});

  Sent reply("Fri, 8 Mar 2024 12:00:00 +0000");
  filler.add("INBOX", reply,
             plain(head("Alan Example <alan@example.org>", me, "Re: Lunch on Friday?", reply, ++id) +
                       "In-Reply-To: <demo-2@example.org>\nReferences: <demo-2@example.org>\n"
                       "Cc: Friends: ada@example.org, \"Grace, the Host\" <grace@example.org>;\n",
                   "Booked. See you there.\n\nAlan"),
             {"\\Seen"});
  add("Sat, 9 Mar 2024 07:30:00 +0000", "The Weekly <news@example.net>", "Ten tips for tidy mailboxes",
      "1. Archive by year.\n2. Unsubscribe.\n3. Never open one mailbox twice on an old server.", {});

  Sent outer("Mon, 11 Mar 2024 13:37:00 +0100");
  Sent inner("Sun, 10 Mar 2024 22:10:00 +0100");
  std::string original =
      plain(head("Carol Example <carol@example.com>", "ada@example.org", "Disk almost full", inner, 90),
            "/var is at 97 %. Can someone look?");
  filler.add(
      "INBOX", outer,
      forwarded(head("Ada Example <ada@example.org>", me, "Fwd: Disk almost full", outer, ++id), original),
      {});
  add("Tue, 12 Mar 2024 09:00:00 +0100", "calendar@example.org", "Reminder: migration on Thursday",
      "Thursday, 14 March, 18:00. The old server will be read-only for an hour.", {"\\Flagged"});
  add("Wed, 13 Mar 2024 15:15:15 +0530", "Ravi Example <ravi@example.in>", "Patch for the date parser",
      "The zone +0530 was read as five hours. This fixes it:\n\n-  zone = hours * 60;\n+  zone = hours * 60 "
      "+ minutes;",
      {});
  add("Thu, 14 Mar 2024 18:05:00 +0100", "Grace Example <grace@example.org>", "Migration has begun",
      "I will write again when it is done.\n\nGrace", {});
}

}  // namespace

void add_sample_mail(MailStore& store, const std::string& user) {
  Filler filler(store, user);
  for (const char* name : {"INBOX", "Sent", "Drafts", "Trash", "Archive", "Archive/2024"})
    filler.folder(name);
  std::string me = user.contains('@') ? user : user + "@example.org";
  fill_inbox(filler, me);

  Sent answer("Tue, 5 Mar 2024 11:30:00 +0000");
  filler.add(
      "Sent", answer,
      plain(head(me, "Alan Example <alan@example.org>", "Re: Lunch on Friday?", answer, 50), "Yes, please!"),
      {"\\Seen"});
  Sent draft("Wed, 13 Mar 2024 20:00:00 +0100");
  filler.add("Drafts", draft,
             plain(head(me, "ravi@example.in", "Re: Patch for the date parser", draft, 51), "Thanks, "),
             {"\\Seen", "\\Draft"});
  Sent spam("Sun, 3 Mar 2024 03:00:00 +0000");
  filler.add("Trash", spam,
             plain(head("Winner <win@example.net>", me, "You have won", spam, 52),
                   "Send your password to claim it."),
             {"\\Seen"});
  Sent old("Fri, 29 Dec 2023 17:00:00 +0100");
  filler.add(
      "Archive", old,
      plain(head("Ada Example <ada@example.org>", me, "Happy new year", old, 53), "See you in January!"),
      {"\\Seen"});
  Sent january("Mon, 15 Jan 2024 10:00:00 +0100");
  filler.add("Archive/2024", january,
             plain(head("Carol Example <carol@example.com>", me, "Budget 2024", january, 54),
                   "Approved, with one change."),
             {"\\Seen"});
}

}  // namespace imapmux::demo
