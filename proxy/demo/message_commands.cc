// LegacySession's commands on messages of the selected mailbox: FETCH to CLOSE.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "demo/fetch.h"
#include "demo/legacy_session.h"
#include "demo/search.h"

namespace imapmux::demo {

namespace {

constexpr const char* kBadArguments = "BAD Invalid arguments";
// What a long FETCH gathers before it is handed on.
constexpr size_t kFlushAt = 64 * 1024;

}  // namespace

std::optional<std::vector<size_t>> LegacySession::take_messages(wire::TokenReader& reader, bool uid) {
  auto atom = reader.atom();
  auto set = atom ? wire::SequenceSet::parse(*atom) : std::nullopt;
  if (!set) return std::nullopt;
  return selected_->resolve(*set, uid);
}

LegacySession::Reply LegacySession::do_fetch(wire::TokenReader& reader, bool uid) {
  auto messages = take_messages(reader, uid);
  if (!messages || !reader.space()) return "BAD Invalid messages";
  auto items = parse_fetch_items(reader);
  if (!items) return kBadArguments;
  auto asks_for = [&](FetchItem::Kind kind) {
    return std::ranges::find(*items, kind, &FetchItem::kind) != items->end();
  };
  if (uid && !asks_for(FetchItem::Kind::kUid)) {
    FetchItem item;
    item.kind = FetchItem::Kind::kUid;
    item.label = "UID";
    items->insert(items->begin(), std::move(item));
  }
  bool sets_seen = !selected_->read_only() && !std::ranges::all_of(*items, &FetchItem::peek);
  bool tells_flags = asks_for(FetchItem::Kind::kFlags);
  for (size_t index : *messages) {
    SelectedMailbox::Entry& entry = selected_->entries()[index];
    bool seen_now = false;
    if (sets_seen && !entry.message.flags.contains("\\Seen")) {
      auto flags =
          server_.store().store_flags(selected_->id(), entry.message.uid, StoreMode::kAdd, {"\\Seen"});
      seen_now = flags.has_value();
      if (flags) entry.message.flags = std::move(*flags);
    }
    out_ += fmt::format("* {} FETCH (", index + 1);
    write_fetch_items(out_, *items, entry.message, entry.recent);
    if (seen_now && !tells_flags) {
      out_ += " FLAGS ";
      write_flags(out_, entry.message.flags, entry.recent);
    }
    out_ += ")\r\n";
    if (out_.size() >= kFlushAt) flush();
  }
  return fmt::format("OK {}FETCH completed", uid ? "UID " : "");
}

LegacySession::Reply LegacySession::do_store(wire::TokenReader& reader, bool uid) {
  auto messages = take_messages(reader, uid);
  if (!messages || !reader.space()) return "BAD Invalid messages";
  auto atom = reader.atom();
  if (!atom || !reader.space()) return kBadArguments;
  std::string item = base::upper(*atom);
  StoreMode mode = StoreMode::kReplace;
  if (item.starts_with('+')) mode = StoreMode::kAdd;
  if (item.starts_with('-')) mode = StoreMode::kRemove;
  if (mode != StoreMode::kReplace) item.erase(0, 1);
  if (item != "FLAGS" && item != "FLAGS.SILENT") return kBadArguments;
  auto flags = parse_flags(reader, true);
  if (!flags || !reader.at_end()) return kBadArguments;
  for (size_t index : *messages) {
    SelectedMailbox::Entry& entry = selected_->entries()[index];
    auto result = server_.store().store_flags(selected_->id(), entry.message.uid, mode, *flags);
    if (!result) continue;  // expunged by someone else: told when that is allowed
    // What others changed meanwhile is told, .SILENT or not (RFC 3501, 6.4.6).
    const bool surprising = *result != apply(mode, std::move(entry.message.flags), *flags);
    entry.message.flags = std::move(*result);
    if (item == "FLAGS" || surprising) selected_->write_flags_response(out_, index, uid);
  }
  return fmt::format("OK {}STORE completed", uid ? "UID " : "");
}

LegacySession::Reply LegacySession::do_search(wire::TokenReader& reader, bool uid) {
  auto program = parse_search(reader);
  if (!program) return kBadArguments;
  if (program->unknown_charset) return "NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset";
  const auto& entries = selected_->entries();
  std::string found;
  SearchSubject subject;
  subject.last_number = static_cast<uint32_t>(entries.size());
  subject.last_uid = selected_->last_uid();
  for (const SelectedMailbox::Entry& entry : entries) {
    ++subject.number;
    subject.message = &entry.message;
    subject.recent = entry.recent;
    if (matches(program->key, subject)) found += fmt::format(" {}", uid ? entry.message.uid : subject.number);
  }
  out_ += fmt::format("* SEARCH{}\r\n", found);
  return fmt::format("OK {}SEARCH completed", uid ? "UID " : "");
}

LegacySession::Reply LegacySession::do_copy(wire::TokenReader& reader, bool uid, bool move) {
  auto indices = take_messages(reader, uid);
  if (!indices || !reader.space()) return "BAD Invalid messages";
  auto name = take_mailbox(reader);
  if (!name || !reader.at_end()) return kBadArguments;
  std::string_view command = move ? "MOVE" : "COPY";
  auto target = server_.store().find(user_, *name);
  if (!target) return "NO [TRYCREATE] No such mailbox";
  check_target(*target, command, *name);
  std::string completed = fmt::format("{}{} completed", uid ? "UID " : "", command);
  if (indices->empty()) return "OK " + completed;

  std::vector<Message> messages;
  std::vector<uint32_t> sources;
  wire::SequenceSet from;
  for (size_t index : *indices) {
    const Message& message = selected_->entries()[index].message;
    messages.push_back(message);
    sources.push_back(message.uid);
    from.add(message.uid);
  }
  auto result = server_.store().append_all(*target, messages);
  if (!result) return "NO [TRYCREATE] No such mailbox";
  std::string code;
  if (server_.quirks().has_uidplus) {
    wire::SequenceSet to;
    for (uint32_t number : result->uids) to.add(number);
    code = fmt::format("[COPYUID {} {} {}] ", result->uid_validity, from.to_string(), to.to_string());
  }
  if (!move) return "OK " + code + completed;
  // RFC 6851, 4.3: COPYUID comes in an untagged OK before the EXPUNGEs.
  if (!code.empty()) out_ += fmt::format("* OK {}Moved\r\n", code);
  server_.store().expunge(selected_->id(), sources);
  return "OK " + completed;
}

std::vector<uint32_t> LegacySession::deleted_uids() const {
  std::vector<uint32_t> uids;
  for (const Message& message : server_.store().snapshot(selected_->id()).messages) {
    if (message.flags.contains("\\Deleted")) uids.push_back(message.uid);
  }
  return uids;
}

LegacySession::Reply LegacySession::do_expunge() {
  server_.store().expunge(selected_->id(), deleted_uids());
  return "OK EXPUNGE completed";
}

LegacySession::Reply LegacySession::do_uid_expunge(wire::TokenReader& reader) {
  auto atom = reader.atom();
  auto set = atom && reader.at_end() ? wire::SequenceSet::parse(*atom) : std::nullopt;
  if (!set) return kBadArguments;
  std::vector<uint32_t> uids = deleted_uids();
  uint32_t last = selected_->last_uid();
  std::erase_if(uids, [&](uint32_t uid) { return !set->contains(uid, last); });
  server_.store().expunge(selected_->id(), uids);
  return "OK UID EXPUNGE completed";
}

LegacySession::Reply LegacySession::do_close(bool expunge) {
  if (expunge && !selected_->read_only()) server_.store().expunge(selected_->id(), deleted_uids());
  selected_.reset();
  return expunge ? "OK CLOSE completed" : "OK UNSELECT completed";
}

}  // namespace imapmux::demo
