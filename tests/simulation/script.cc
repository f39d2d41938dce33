#include "simulation/script.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "simulation/mail_text.h"

namespace imapmux::simulation {

using wire::Verb;

namespace {

constexpr size_t kMostInPacket = 6;

// Behind each synchronising literal's head the client waits for "+".
std::vector<std::string> cut_at_literals(std::string_view text) {
  std::vector<std::string> parts;
  for (size_t at = text.find("}\r\n"); at != std::string_view::npos; at = text.find("}\r\n", at + 3)) {
    const auto open = text.rfind('{', at);
    const auto size = text.substr(open + 1, at - open - 1);
    if (open == std::string_view::npos || size.empty() ||
        size.find_first_not_of("0123456789") != std::string_view::npos)
      continue;
    parts.emplace_back(text.substr(0, at + 3));
    text.remove_prefix(at + 3);
    at = 0;
  }
  parts.emplace_back(text);
  return parts;
}

std::string name_of(Verb verb) {
  return std::string(wire::info(verb).name);
}

std::string list_of(const demo::Flags& flags) {
  return fmt::format("({})", fmt::join(flags, " "));
}

}  // namespace

bool Script::is_barrier(const Command& command) {
  return command.parts.size() > 1 || command.is({Verb::kSelect, Verb::kExamine, Verb::kClose, Verb::kUnselect,
                                                 Verb::kIdle, Verb::kLogout, Verb::kLogin});
}

std::string Script::next_tag() {
  return fmt::format("{}{}", random_.percent(50) ? "a" : "A0", ++tags_);
}

CommandPtr Script::finish(Command command, const std::string& text) {
  command.parts = cut_at_literals(command.tag + " " + text + "\r\n");
  return std::make_shared<const Command>(std::move(command));
}

CommandPtr Script::plain(Verb verb) {
  Command command;
  command.tag = next_tag();
  command.verb = verb;
  return finish(std::move(command), name_of(verb));
}

CommandPtr Script::login(const std::string& user, const std::string& password) {
  Command command;
  command.tag = next_tag();
  command.verb = Verb::kLogin;
  return finish(std::move(command), fmt::format("LOGIN {} {}", text_value(user), text_value(password)));
}

std::string Script::text_value(const std::string& value) {
  switch (random_.below(4)) {
    case 0:
      return fmt::format("{{{}+}}\r\n{}", value.size(), value);
    case 1:
      return fmt::format("{{{}}}\r\n{}", value.size(), value);
    default:
      return '"' + value + '"';
  }
}

const std::string& Script::some_mailbox() {
  return random_.percent(60) ? habits_.mailboxes.front() : random_.pick(habits_.mailboxes);
}

std::vector<CommandPtr> Script::packet(const Knowledge& known) {
  std::vector<CommandPtr> commands;
  const size_t size = random_.percent(70) ? 1 : random_.between(2, kMostInPacket);
  Knowledge later = known;
  while (commands.size() < size) {
    commands.push_back(any(later));
    if (is_barrier(*commands.back())) break;
    later.expunge_may_come = later.expunge_may_come || commands.back()->info().may_expunge;
  }
  return commands;
}

CommandPtr Script::behind_done(const Knowledge& known) {
  if (!known.selected) return random_.percent(50) ? plain(Verb::kNoop) : nullptr;
  switch (random_.below(6)) {
    case 0:
      return nullptr;
    case 1:
      return plain(Verb::kNoop);
    case 2:
      return search(known, false);
    case 3:
      return store(known, false);
    default:
      return fetch(known, random_.percent(20));
  }
}

CommandPtr Script::any(const Knowledge& known) {
  if (random_.percent(1)) return malformed();
  return known.selected ? in_mailbox(known) : without_mailbox();
}

CommandPtr Script::without_mailbox() {
  const auto dice = random_.below(100);
  if (dice < 60) return open();
  if (dice < 68) return status();
  if (dice < 78) return append();
  if (dice < 84) return plain(Verb::kIdle);
  if (dice < 88) return plain(Verb::kNoop);
  if (dice < 90) return plain(Verb::kCapability);
  if (dice < 92) return plain(Verb::kNamespace);
  if (dice < 94) return plain(Verb::kLogout);
  Command list;
  list.tag = next_tag();
  list.verb = Verb::kList;
  return finish(std::move(list), "LIST \"\" *");
}

CommandPtr Script::in_mailbox(const Knowledge& known) {
  if (random_.below(100) < habits_.leaving) {
    const auto dice = random_.below(10);
    if (dice < 3) return plain(Verb::kUnselect);
    if (dice < 5) return plain(Verb::kClose);
    if (dice < 6) return plain(Verb::kLogout);
    return open();
  }
  const bool unknown = known.picture.exists() > 0 && !known.picture.knows_last_uid();
  if (unknown && random_.percent(60)) return learn(known);
  const bool numbers = random_.percent(65);
  const auto dice = random_.below(100);
  if (dice < 30) return fetch(known, !numbers);
  if (dice < 46) return store(known, !numbers);
  if (dice < 61) return search(known, !numbers);
  if (dice < 69) return copy(known, known.expunge_may_come || !numbers, false);
  if (dice < 71)
    return known.has_move ? copy(known, known.expunge_may_come || !numbers, true) : plain(Verb::kNoop);
  if (dice < 79) return plain(Verb::kNoop);
  if (dice < 81) return plain(Verb::kCheck);
  if (dice < 84) return plain(Verb::kExpunge);
  if (dice < 86) return known.has_uidplus ? uid_expunge(known) : plain(Verb::kNoop);
  if (dice < 89) return status();
  if (dice < 94) return append();
  if (dice < 99) return plain(Verb::kIdle);
  return plain(random_.percent(50) ? Verb::kCapability : Verb::kNamespace);
}

CommandPtr Script::open() {
  Command command;
  command.tag = next_tag();
  command.verb = random_.percent(25) ? Verb::kExamine : Verb::kSelect;
  command.mailbox = random_.percent(2) ? "Nowhere" : some_mailbox();
  return finish(command, fmt::format("{} {}", name_of(command.verb),
                                     random_.percent(90) ? command.mailbox : text_value(command.mailbox)));
}

// What clients do first: learn the UIDs of what they were told of.
CommandPtr Script::learn(const Knowledge& known) {
  uint32_t first = known.picture.exists();
  while (first > 1 && known.picture.messages()[first - 2].uid == 0) --first;
  auto command = with_set(
      Verb::kFetch,
      fmt::format("{}:{}", first, random_.percent(50) ? "*" : std::to_string(known.picture.exists())));
  command.items = {"UID", "FLAGS"};
  return finish(command, fmt::format("{} {} (UID FLAGS)", name_of(command.verb), command.set.to_string()));
}

Command Script::with_set(Verb verb, std::string set) {
  Command command;
  command.tag = next_tag();
  command.verb = verb;
  command.set = wire::SequenceSet::parse(set).value();
  return command;
}

// --- sets

std::string Script::numbers(uint32_t exists) {
  const uint32_t there = std::max(exists, 1U);
  const auto one = [&] { return random_.between(1, there); };
  if (random_.percent(2)) return std::to_string(there + random_.between(1, 5));  // BAD
  switch (random_.below(10)) {
    case 0:
      return "1:*";
    case 1:
      return "*";
    case 2:
      return fmt::format("{}:*", one());
    case 3:
      return fmt::format("*:{}", one());
    case 4:
    case 5:
      return fmt::format("{}:{}", one(), one());
    case 6:
      return fmt::format("{},{}", one(), one());
    case 7:
      return fmt::format("{},{}:{},{}", one(), one(), one(), one());
    default:
      return std::to_string(one());
  }
}

std::string Script::uids(const Picture& picture) {
  std::vector<uint32_t> known;
  for (const auto& message : picture.messages())
    if (message.uid != 0) known.push_back(message.uid);
  if (known.empty()) return random_.percent(50) ? "1:*" : "*";
  const auto one = [&] { return random_.pick(known); };
  switch (random_.below(10)) {
    case 0:
      return "1:*";
    case 1:
      return fmt::format("{}:*", one());
    case 2:
      return fmt::format("{}:{}", one(), one());
    case 3:
      return fmt::format("{},{}", one(), one());
    case 4:
      return fmt::format("{}:{}", one(), one() + random_.below(5));
    case 5:
      return std::to_string(known.back() + random_.between(0, 3));
    case 6:
      return std::to_string(random_.between(1, known.back()));  // may be gone
    default:
      return std::to_string(one());
  }
}

std::string Script::set_of(const Knowledge& known, bool uid) {
  return uid ? uids(known.picture) : numbers(known.picture.exists());
}

// Single messages whose UID is known; empty: there are none.
std::string Script::known_set(const Knowledge& known, bool uid) {
  std::vector<uint32_t> candidates;
  uint32_t number = 0;
  for (const auto& message : known.picture.messages()) {
    ++number;
    if (message.uid != 0) candidates.push_back(uid ? message.uid : number);
  }
  if (candidates.empty()) return {};
  std::string set = std::to_string(random_.pick(candidates));
  if (random_.percent(40)) set += "," + std::to_string(random_.pick(candidates));
  return wire::SequenceSet::parse(set)->resolved(1).to_string();
}

// --- commands on messages

CommandPtr Script::fetch(const Knowledge& known, bool uid) {
  struct Items {
    std::string_view asked;
    std::vector<std::string> answered;
    bool sets_seen = false;
  };
  static const std::vector<Items> kItems = {
      {"(UID FLAGS)", {"UID", "FLAGS"}},
      {"FLAGS", {"FLAGS"}},
      {"UID", {"UID"}},
      {"(flags)", {"FLAGS"}},
      {"(FLAGS UID RFC822.SIZE)", {"UID", "FLAGS", "RFC822.SIZE"}},
      {"BODY.PEEK[]", {"BODY[]"}},
      {"(UID BODY.PEEK[])", {"UID", "BODY[]"}},
      {"BODY[]", {"BODY[]"}, true},
      {"(FLAGS BODY[TEXT])", {"FLAGS", "BODY[TEXT]"}, true},
      {"(BODY[HEADER] BODY[TEXT])", {"BODY[HEADER]", "BODY[TEXT]"}, true},
      {"RFC822", {"RFC822"}, true},
      {"RFC822.TEXT", {"RFC822.TEXT"}, true},
      {"RFC822.HEADER", {"RFC822.HEADER"}},
      {"(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])", {"UID", "BODY[HEADER.FIELDS (SUBJECT)]"}},
      {"BODY[]<4.20>", {"BODY[]<4>"}, true},
      {"FAST", {"FLAGS", "INTERNALDATE", "RFC822.SIZE"}},
      {"ALL", {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"}},
      {"(ENVELOPE BODYSTRUCTURE)", {"ENVELOPE", "BODYSTRUCTURE"}},
  };
  // Clients that ask for flags alone ask together.
  const bool polls = random_.percent(30);
  const auto& items = polls ? kItems[random_.below(4)] : random_.pick(kItems);
  auto command = with_set(uid ? Verb::kUidFetch : Verb::kFetch, set_of(known, uid));
  command.items = items.answered;
  command.sets_seen = items.sets_seen;
  return finish(command,
                fmt::format("{} {} {}", name_of(command.verb), command.set.to_string(), items.asked));
}

demo::Flags Script::some_flags() {
  static const std::vector<std::string> kFlags = {"\\Seen",    "\\Flagged", "\\Answered", "\\Draft",
                                                  "\\Deleted", "Work",      "$Later"};
  demo::Flags flags;
  for (uint32_t i = random_.between(1, 2); i > 0; --i) flags.insert(random_.pick(kFlags));
  return flags;
}

CommandPtr Script::store(const Knowledge& known, bool uid) {
  auto command = with_set(uid ? Verb::kUidStore : Verb::kStore, set_of(known, uid));
  const auto dice = random_.below(10);
  command.mode = dice < 5   ? demo::StoreMode::kAdd
                 : dice < 9 ? demo::StoreMode::kRemove
                            : demo::StoreMode::kReplace;
  command.silent = random_.percent(45);
  command.flags = some_flags();
  const std::string_view sign = dice < 5 ? "+" : dice < 9 ? "-" : "";
  return finish(command, fmt::format("{} {} {}FLAGS{} {}", name_of(command.verb), command.set.to_string(),
                                     sign, command.silent ? ".SILENT" : "", list_of(command.flags)));
}

std::string Script::key(const Knowledge& known, int depth) {
  static const std::vector<std::string> kFlagKeys = {
      "SEEN",    "UNSEEN",    "FLAGGED", "UNFLAGGED",    "ANSWERED",        "UNANSWERED",
      "DELETED", "UNDELETED", "DRAFT",   "KEYWORD Work", "UNKEYWORD $Later"};
  const auto dice = random_.below(depth > 3 ? 70 : 100);
  if (dice < 25) return numbers(known.picture.exists());
  if (dice < 45) return random_.pick(kFlagKeys);
  if (dice < 55) return "UID " + uids(known.picture);
  if (dice < 60) return "SUBJECT " + text_value(fmt::format("tok-{}.", random_.between(1, 40)));
  if (dice < 65) return "BODY " + text_value(random_.percent(50) ? "1:3" : "2");  // no set of numbers
  if (dice < 68) return fmt::format("LARGER {}", random_.between(100, 400));
  if (dice < 70) return random_.percent(50) ? "ALL" : "SINCE 1-Jan-2000";
  if (dice < 80) return "NOT " + key(known, depth + 1);
  if (dice < 90) {
    std::string either = key(known, depth + 1);
    return fmt::format("OR {} {}", either, key(known, depth + 1));
  }
  std::string group = "(" + key(known, depth + 1);
  for (uint32_t more = random_.below(3); more > 0; --more) group += " " + key(known, depth + 1);
  return group + ")";
}

CommandPtr Script::search(const Knowledge& known, bool uid) {
  Command command;
  command.tag = next_tag();
  command.verb = uid ? Verb::kUidSearch : Verb::kSearch;
  command.keys = key(known, 0);
  while (random_.percent(40)) command.keys += " " + key(known, 0);
  return finish(command, name_of(command.verb) + " " + command.keys);
}

CommandPtr Script::search_all() {
  Command command;
  command.tag = next_tag();
  command.verb = Verb::kUidSearch;
  command.keys = "ALL";
  return finish(command, "UID SEARCH ALL");
}

CommandPtr Script::copy(const Knowledge& known, bool uid, bool move) {
  const std::string set = known_set(known, uid);
  if (set.empty()) return plain(Verb::kNoop);
  const Verb by_number = move ? Verb::kMove : Verb::kCopy;
  const Verb by_uid = move ? Verb::kUidMove : Verb::kUidCopy;
  auto command = with_set(uid ? by_uid : by_number, set);
  command.mailbox = random_.percent(2) ? "Nowhere" : random_.pick(habits_.mailboxes);
  // RFC 6851 says nothing of a mailbox that is moved to itself.
  if (move && command.mailbox == known.mailbox) command.mailbox = "Nowhere";
  return finish(command, fmt::format("{} {} {}", name_of(command.verb), set,
                                     random_.percent(80) ? command.mailbox : text_value(command.mailbox)));
}

CommandPtr Script::uid_expunge(const Knowledge& known) {
  auto command = with_set(Verb::kUidExpunge, uids(known.picture));
  return finish(command, fmt::format("UID EXPUNGE {}", command.set.to_string()));
}

CommandPtr Script::status() {
  Command command;
  command.tag = next_tag();
  command.verb = Verb::kStatus;
  command.mailbox = random_.percent(2) ? "Nowhere" : some_mailbox();
  static const std::vector<std::string> kItems = {"(MESSAGES UNSEEN)", "(UIDNEXT UIDVALIDITY MESSAGES)",
                                                  "(RECENT)", "(UNSEEN UIDNEXT)"};
  return finish(command, fmt::format("STATUS {} {}", command.mailbox, random_.pick(kItems)));
}

CommandPtr Script::append() {
  Command command;
  command.tag = next_tag();
  command.verb = Verb::kAppend;
  command.mailbox = random_.percent(2) ? "Nowhere" : some_mailbox();
  command.token = habits_.new_token();
  std::string text = "APPEND " + command.mailbox + " ";
  if (random_.percent(50)) {
    command.flags = some_flags();
    text += list_of(command.flags) + " ";
  }
  if (random_.percent(20)) text += "\"17-Jul-1996 02:44:25 -0700\" ";
  const std::string mail = mail_text(command.token, habits_.padding(200));
  return finish(std::move(command),
                fmt::format("{}{{{}{}}}\r\n{}", text, mail.size(), random_.percent(50) ? "+" : "", mail));
}

CommandPtr Script::malformed() {
  static const std::vector<std::string> kLines = {
      "FROB",           "FETCH 0 FLAGS", "FETCH 1", "UID FETCH x FLAGS", "STORE 1 FLAGS",  "SEARCH",
      "FETCH 1 NOSUCH", "UID FROB 1",    "COPY 1",  "SEARCH OR SEEN",    "FETCH 1,, FLAGS"};
  Command command;
  command.tag = next_tag();
  command.malformed = true;
  return finish(std::move(command), random_.pick(kLines));
}

}  // namespace imapmux::simulation
