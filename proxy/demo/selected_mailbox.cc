#include "demo/selected_mailbox.h"

#include <fmt/core.h>

#include <algorithm>
#include <ranges>
#include <utility>

#include "demo/fetch.h"

namespace imapmux::demo {

namespace {

const Flags kSystemFlags = {"\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"};

}  // namespace

SelectedMailbox::SelectedMailbox(MailStore& store, MailboxId mailbox, bool read_only, bool examined)
    : store_(store), id_(mailbox), read_only_(read_only), examined_(examined) {
  numbers_at_select_ = store_.numbers(id_);
}

bool SelectedMailbox::learn_keywords(const Flags& flags) {
  bool learned = false;
  for (const std::string& flag : flags) {
    if (!kSystemFlags.contains(flag)) learned |= keywords_.insert(flag).second;
  }
  return learned;
}

void SelectedMailbox::write_flag_names(std::string& out) const {
  Flags all = kSystemFlags;
  all.insert(keywords_.begin(), keywords_.end());
  out += "* FLAGS ";
  write_flags(out, all, false);
  out += "\r\n* OK [PERMANENTFLAGS ";
  if (read_only_) all.clear();
  write_flags(out, all, false);
  if (!read_only_) out.insert(out.size() - 1, " \\*");
  out += "] Flags\r\n";
}

void SelectedMailbox::write_counts(std::string& out) const {
  auto recent = std::ranges::count_if(entries_, &Entry::recent);
  out += fmt::format("* {} EXISTS\r\n* {} RECENT\r\n", entries_.size(), recent);
}

void SelectedMailbox::write_select(std::string& out) {
  MailboxSnapshot now = store_.snapshot(id_);
  for (const Message& message : now.messages) learn_keywords(message.flags);
  write_flag_names(out);
  add_new(out, now);
  if (entries_.empty()) write_counts(out);
  revision_ = now.revision;
  auto unseen = std::ranges::find_if(
      entries_, [](const Entry& entry) { return !entry.message.flags.contains("\\Seen"); });
  if (unseen != entries_.end())
    out += fmt::format("* OK [UNSEEN {}] First unseen\r\n", unseen - entries_.begin() + 1);
  out += fmt::format("* OK [UIDVALIDITY {}] UIDs valid\r\n* OK [UIDNEXT {}] Predicted next UID\r\n",
                     now.uid_validity, now.uid_next);
}

void SelectedMailbox::sync(std::string& out, bool may_expunge) {
  if (store_.revision(id_) == revision_ && !(has_ghosts_ && may_expunge)) return;
  MailboxSnapshot now = store_.snapshot(id_);
  remove_expunged(out, now.messages, may_expunge);
  bool new_keywords = false;
  for (const Message& message : now.messages) new_keywords |= learn_keywords(message.flags);
  if (new_keywords) write_flag_names(out);
  auto current = now.messages.begin();
  for (size_t i = 0; i < entries_.size(); ++i) {
    Message& mine = entries_[i].message;
    while (current != now.messages.end() && current->uid < mine.uid) ++current;
    if (current == now.messages.end() || current->uid != mine.uid || current->flags == mine.flags) continue;
    mine.flags = current->flags;
    write_flags_response(out, i, false);
  }
  add_new(out, now);
  revision_ = now.revision;
}

void SelectedMailbox::remove_expunged(std::string& out, const std::vector<Message>& now, bool may_expunge) {
  has_ghosts_ = false;
  std::vector<size_t> gone;
  auto current = now.begin();
  for (size_t i = 0; i < entries_.size(); ++i) {
    uint32_t uid = entries_[i].message.uid;
    while (current != now.end() && current->uid < uid) ++current;
    if (current == now.end() || current->uid != uid) gone.push_back(i);
  }
  if (gone.empty()) return;
  if (!may_expunge) {
    has_ghosts_ = true;
    return;
  }
  // From the last one on, so that no number said shifts another one.
  for (size_t index : gone | std::views::reverse) out += fmt::format("* {} EXPUNGE\r\n", index + 1);
  std::vector<Entry> kept;
  kept.reserve(entries_.size() - gone.size());
  auto next_gone = gone.begin();
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (next_gone != gone.end() && *next_gone == i) {
      ++next_gone;
    } else {
      kept.push_back(std::move(entries_[i]));
    }
  }
  entries_ = std::move(kept);
}

void SelectedMailbox::add_new(std::string& out, const MailboxSnapshot& now) {
  size_t before = entries_.size();
  for (const Message& message : now.messages) {
    if (message.uid >= uid_next_) entries_.push_back({message, message.uid >= now.recent_from});
  }
  uid_next_ = std::max(uid_next_, now.uid_next);
  if (!read_only_) store_.claim_recent(id_);
  if (entries_.size() != before) write_counts(out);
}

void SelectedMailbox::write_flags_response(std::string& out, size_t index, bool with_uid) const {
  const Entry& entry = entries_[index];
  out += fmt::format("* {} FETCH (", index + 1);
  if (with_uid) out += fmt::format("UID {} ", entry.message.uid);
  out += "FLAGS ";
  write_flags(out, entry.message.flags, entry.recent);
  out += ")\r\n";
}

std::optional<std::vector<size_t>> SelectedMailbox::resolve(const wire::SequenceSet& set, bool uid) const {
  auto last = uid ? last_uid() : static_cast<uint32_t>(entries_.size());
  std::vector<size_t> indices;
  if (uid && entries_.empty()) return indices;
  // "*" of an empty mailbox is no number (RFC 3501, 9: seq-number), and 1 is none either.
  if (!uid && (entries_.empty() || set.max(last) > last)) return std::nullopt;
  wire::SequenceSet resolved = set.resolved(last);
  auto range = resolved.ranges().begin();
  for (size_t i = 0; i < entries_.size(); ++i) {
    uint32_t number = uid ? entries_[i].message.uid : static_cast<uint32_t>(i + 1);
    while (range != resolved.ranges().end() && range->last < number) ++range;
    if (range == resolved.ranges().end()) break;
    if (number >= range->first) indices.push_back(i);
  }
  return indices;
}

}  // namespace imapmux::demo
