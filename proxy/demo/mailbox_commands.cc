// LegacySession's commands on mailboxes as a whole: SELECT to STATUS, and APPEND. The punishments of quirks.h
// are here.
#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "demo/envelope.h"
#include "demo/legacy_session.h"
#include "demo/list_pattern.h"
#include "wire/mailbox_name.h"
#include "wire/writer.h"

namespace imapmux::demo {

namespace {

constexpr const char* kBadArguments = "BAD Invalid arguments";
constexpr const char* kNoMailbox = "NO [NONEXISTENT] No such mailbox";
constexpr const char* kSevered = "Killed (lost mailbox lock)";

void write_name(std::string& out, std::string_view name) {
  if (wire::quotable(name)) {
    wire::write_astring(out, name);
  } else {
    write_string(out, name);
  }
}

// For commands that make a name.
bool valid_name(std::string_view name) {
  return !name.empty() && wire::quotable(name) && name.find_first_of("*%") == std::string_view::npos;
}

std::string change_reply(MailStore::Change change, std::string_view command) {
  switch (change) {
    case MailStore::Change::kDone:
      return fmt::format("OK {} completed", command);
    case MailStore::Change::kNoSuchMailbox:
      return kNoMailbox;
    case MailStore::Change::kExists:
      return "NO [ALREADYEXISTS] Mailbox exists";
    case MailStore::Change::kHasChildren:
      return "NO Mailbox has inferior names";
    case MailStore::Change::kNotAllowed:
      break;
  }
  return "NO [CANNOT] Not possible with this name";
}

}  // namespace

std::optional<std::string> take_mailbox(wire::TokenReader& reader) {
  auto name = reader.astring();
  if (!name) return std::nullopt;
  return wire::canonical_mailbox_name(*name, kDelimiter);
}

std::optional<Flags> parse_flags(wire::TokenReader& reader, bool bare) {
  bool list = reader.open();
  if (!list && !bare) return std::nullopt;
  Flags flags;
  if (list && reader.close()) return flags;
  while (true) {
    auto atom = reader.atom();
    if (!atom || atom->empty()) return std::nullopt;
    if (atom->front() == '\\') {
      static const Flags kSystem = {"\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen", "\\Recent"};
      auto known = kSystem.find(std::string(*atom));
      if (known == kSystem.end()) return std::nullopt;
      if (*known != "\\Recent") flags.insert(*known);  // no client may set it (RFC 3501, 2.3.2)
    } else {
      if (atom->find_first_of("*%[]") != std::string_view::npos) return std::nullopt;
      flags.insert(std::string(*atom));
    }
    if (list ? reader.close() : reader.at_end()) return flags;
    if (!reader.space()) return std::nullopt;
  }
}

std::string LegacySession::text_of_violation(std::string_view what, std::string_view mailbox) const {
  return fmt::format("{} {} by {} ({})", what, mailbox, user_, peer_address_);
}

LegacySession::Reply LegacySession::do_select(wire::TokenReader& reader, bool examine) {
  auto name = take_mailbox(reader);
  if (!name || !reader.at_end()) return kBadArguments;
  selected_.reset();  // whatever comes of it (RFC 3501, 6.3.1)
  auto mailbox = server_.store().find(user_, *name);
  if (!mailbox) return kNoMailbox;

  const Quirks& quirks = server_.quirks();
  bool read_only = examine;
  auto holders = server_.holders(*mailbox, this);
  if (!holders.empty() && (!examine || quirks.examine_counts)) {
    Violations& violations = server_.violations();
    violations.record(examine ? violations.second_examine : violations.second_select,
                      text_of_violation(examine ? "second EXAMINE of" : "second SELECT of", *name));
    switch (quirks.second_session) {
      case SecondSession::kAllowed:
        break;
      case SecondSession::kRefused:
        return "NO [INUSE] Mailbox is locked by another session";
      case SecondSession::kSeversFirst:
        for (LegacySession* holder : holders) holder->sever(kSevered);
        break;
      case SecondSession::kReadOnly:
        read_only = true;
        break;
    }
  }
  selected_ = std::make_unique<SelectedMailbox>(server_.store(), *mailbox, read_only, examine);
  selected_->write_select(out_);
  return fmt::format("OK [{}] {} completed", read_only ? "READ-ONLY" : "READ-WRITE",
                     examine ? "EXAMINE" : "SELECT");
}

LegacySession::Reply LegacySession::do_create(wire::TokenReader& reader) {
  auto name = take_mailbox(reader);
  if (!name || !reader.at_end()) return kBadArguments;
  if (!valid_name(*name)) return "NO [CANNOT] Not a name for a mailbox";
  return change_reply(server_.store().create(user_, *name), "CREATE");
}

bool LegacySession::refuses_restructure(const std::vector<MailboxId>& mailboxes, std::string_view command,
                                        const std::string& name) {
  bool held =
      std::ranges::any_of(mailboxes, [&](MailboxId id) { return !server_.holders(id, this).empty(); });
  if (!held) return false;
  server_.violations().record(server_.violations().delete_or_rename_of_selected,
                              text_of_violation(fmt::format("{} of selected", command), name));
  return server_.quirks().second_session != SecondSession::kAllowed;
}

LegacySession::Reply LegacySession::do_delete(wire::TokenReader& reader) {
  auto name = take_mailbox(reader);
  if (!name || !reader.at_end()) return kBadArguments;
  auto mailbox = server_.store().find(user_, *name);
  if (mailbox && refuses_restructure({*mailbox}, "DELETE", *name))
    return "NO [INUSE] Mailbox is in use by another process";
  return change_reply(server_.store().remove(user_, *name), "DELETE");
}

LegacySession::Reply LegacySession::do_rename(wire::TokenReader& reader) {
  auto from = take_mailbox(reader);
  if (!from || !reader.space()) return kBadArguments;
  auto to = take_mailbox(reader);
  if (!to || !reader.at_end()) return kBadArguments;
  if (!valid_name(*to)) return "NO [CANNOT] Not a name for a mailbox";
  auto touched = server_.store().family(user_, *from);
  if (*from == "INBOX") {  // what lies below it stays
    auto inbox = server_.store().find(user_, *from);
    touched.assign(1, inbox.value_or(0));
  }
  if (refuses_restructure(touched, "RENAME", *from)) return "NO [INUSE] Mailbox is in use by another process";
  return change_reply(server_.store().rename(user_, *from, *to), "RENAME");
}

LegacySession::Reply LegacySession::do_subscribe(wire::TokenReader& reader, bool on) {
  auto name = take_mailbox(reader);
  if (!name || !reader.at_end()) return kBadArguments;
  if (on && !valid_name(*name)) return kNoMailbox;
  if (on) {
    auto listing = server_.store().list(user_);
    if (std::ranges::find(listing, *name, &MailboxListing::name) == listing.end()) return kNoMailbox;
  }
  server_.store().subscribe(user_, *name, on);
  return fmt::format("OK {}SUBSCRIBE completed", on ? "" : "UN");
}

LegacySession::Reply LegacySession::do_list(wire::TokenReader& reader) {
  auto reference = reader.astring();
  if (!reference || !reader.space()) return kBadArguments;
  auto pattern = reader.astring();
  if (!pattern || !reader.at_end()) return kBadArguments;
  if (pattern->empty()) {  // asks for the delimiter (RFC 3501, 6.3.8)
    out_ += "* LIST (\\Noselect) \"/\" \"\"\r\n";
    return "OK LIST completed";
  }
  for (const MailboxListing& mailbox : server_.store().list(user_)) {
    if (!matches_pattern(mailbox.name, *reference + *pattern)) continue;
    out_ += fmt::format("* LIST ({}{}) \"/\" ", mailbox.selectable ? "" : "\\Noselect ",
                        mailbox.has_children ? "\\HasChildren" : "\\HasNoChildren");
    write_name(out_, mailbox.name);
    out_ += "\r\n";
  }
  return "OK LIST completed";
}

LegacySession::Reply LegacySession::do_lsub(wire::TokenReader& reader) {
  auto reference = reader.astring();
  if (!reference || !reader.space()) return kBadArguments;
  auto pattern = reader.astring();
  if (!pattern || !reader.at_end()) return kBadArguments;
  std::string whole = *reference + *pattern;
  std::set<std::string> names;
  std::set<std::string> superiors;
  for (const std::string& name : server_.store().subscriptions(user_)) {
    if (matches_pattern(name, whole)) {
      names.insert(name);
      continue;
    }
    // RFC 3501, 6.3.9: "%" shows a name that is not subscribed where one below it is.
    if (!whole.ends_with('%')) continue;
    for (size_t at = name.find(kDelimiter); at != std::string::npos; at = name.find(kDelimiter, at + 1)) {
      if (matches_pattern(name.substr(0, at), whole)) superiors.insert(name.substr(0, at));
    }
  }
  auto write = [&](std::string_view attributes, const std::string& name) {
    out_ += fmt::format("* LSUB ({}) \"/\" ", attributes);
    write_name(out_, name);
    out_ += "\r\n";
  };
  for (const std::string& name : names) write("", name);
  for (const std::string& name : superiors) {
    if (!names.contains(name)) write("\\Noselect", name);
  }
  return "OK LSUB completed";
}

void LegacySession::check_status(MailboxId mailbox, const std::string& name,
                                 std::optional<MailboxNumbers>& stale) {
  Violations& violations = server_.violations();
  StatusOfSelected mode = server_.quirks().status_of_selected;
  auto holders = server_.holders(mailbox, this);
  bool own = selected_ != nullptr && selected_->id() == mailbox;
  if (!holders.empty())
    violations.record(violations.status_of_selected_by_other, text_of_violation("STATUS of selected", name));
  if (own) violations.record(violations.status_of_own, text_of_violation("STATUS of its own", name));
  if (mode == StatusOfSelected::kStaleNumbers) {
    if (!holders.empty()) stale = holders.front()->selected()->numbers_at_select();
    if (own) stale = selected_->numbers_at_select();
  }
  if (mode == StatusOfSelected::kKillsSession) {
    for (LegacySession* holder : holders) holder->sever(kSevered);
    if (own) sever(kSevered);
  }
}

LegacySession::Reply LegacySession::do_status(wire::TokenReader& reader) {
  auto name = take_mailbox(reader);
  if (!name || !reader.space() || !reader.open()) return kBadArguments;
  std::vector<std::string> items;
  while (true) {
    auto item = reader.atom();
    if (!item) return kBadArguments;
    items.push_back(base::upper(*item));
    if (reader.close()) break;
    if (!reader.space()) return kBadArguments;
  }
  if (!reader.at_end()) return kBadArguments;
  auto mailbox = server_.store().find(user_, *name);
  if (!mailbox) return kNoMailbox;

  static constexpr std::string_view kItems[] = {"MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN"};
  for (const std::string& item : items) {
    if (std::ranges::find(kItems, std::string_view(item)) == std::end(kItems)) return kBadArguments;
  }
  std::optional<MailboxNumbers> stale;
  check_status(*mailbox, *name, stale);
  if (closed_) return {};
  MailboxNumbers numbers = stale ? *stale : server_.store().numbers(*mailbox);
  out_ += "* STATUS ";
  write_name(out_, *name);
  out_ += " (";
  for (const std::string& item : items) {
    uint32_t value = numbers.messages;
    if (item == "RECENT") value = numbers.recent;
    if (item == "UIDNEXT") value = numbers.uid_next;
    if (item == "UIDVALIDITY") value = numbers.uid_validity;
    if (item == "UNSEEN") value = numbers.unseen;
    out_ += fmt::format("{}{} {}", &item == &items.front() ? "" : " ", item, value);
  }
  out_ += ")\r\n";
  return "OK STATUS completed";
}

// --- APPEND

void LegacySession::check_target(MailboxId mailbox, std::string_view command, const std::string& name) {
  if (server_.holders(mailbox, this).empty()) return;
  server_.violations().record(server_.violations().append_or_copy_to_selected_by_other,
                              text_of_violation(fmt::format("{} to selected", command), name));
}

// Fills append_; what is wrong with it, as a reply, or nothing.
std::string LegacySession::parse_append(const wire::Command& command, uint64_t size) {
  if (command.verb != wire::Verb::kAppend) return "BAD Unexpected literal";
  if (user_.empty()) return "BAD Command not allowed now";
  wire::TokenReader reader = command.reader();
  auto name = take_mailbox(reader);
  if (!name || !reader.space()) return kBadArguments;
  append_->mailbox = *name;
  auto token = reader.peek();
  if (token && token->kind == wire::Token::Kind::kOpen) {
    auto flags = parse_flags(reader, false);
    if (!flags || !reader.space()) return kBadArguments;
    append_->flags = std::move(*flags);
  }
  if (!reader.at_end()) {
    auto text = reader.string();
    append_->date = text ? parse_date_time(*text) : std::nullopt;
    if (!append_->date || !reader.space() || !reader.at_end()) return kBadArguments;
  }
  if (!server_.store().find(user_, *name)) return "NO [TRYCREATE] No such mailbox";
  if (size == 0) return "NO Empty message";
  if (size > server_.options().max_message) return "NO [LIMIT] Message too large";
  return {};
}

void LegacySession::begin_append(const wire::Command& command, uint64_t size, bool waits) {
  if (append_) {  // MULTIAPPEND is not offered
    append_->problem = "BAD One message only";
  } else {
    append_.emplace();
    append_->tag = command.tag;
    append_->problem = parse_append(command, size);
    if (!waits && !server_.quirks().has_literal_plus) append_->problem = "BAD Invalid literal";
  }
  if (!waits) return;
  if (append_->problem.empty()) {
    out_ += "+ Ready for literal\r\n";
    flush();
    return;
  }
  Append refused = std::move(*append_);
  append_.reset();
  parser_.refuse_literal();
  finish(refused.tag, refused.problem, true);
}

void LegacySession::end_append(std::string_view behind) {
  Append append = std::move(*append_);
  append_.reset();
  std::string reply = append.problem;
  if (reply.empty() && behind.find_first_not_of(' ') != std::string_view::npos) reply = kBadArguments;
  if (reply.empty() && append.octets.contains('\0')) reply = "NO Message contains NUL";
  if (reply.empty()) {
    if (auto mailbox = server_.store().find(user_, append.mailbox))
      check_target(*mailbox, "APPEND", append.mailbox);
    auto result = server_.store().append(user_, append.mailbox, std::move(append.octets),
                                         std::move(append.flags), append.date);
    if (!result) {
      reply = "NO [TRYCREATE] No such mailbox";
    } else if (server_.quirks().has_uidplus) {
      reply =
          fmt::format("OK [APPENDUID {} {}] APPEND completed", result->uid_validity, result->uids.front());
    } else {
      reply = "OK APPEND completed";
    }
  }
  finish(append.tag, reply, true);
}

}  // namespace imapmux::demo
