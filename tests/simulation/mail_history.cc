#include "simulation/mail_history.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace imapmux::simulation {

std::string token(uint32_t number) {
  return "tok-" + std::to_string(number) + ".";
}

std::string find_token(std::string_view text) {
  const auto begin = text.find("tok-");
  if (begin == std::string_view::npos) return {};
  const auto end = text.find('.', begin);
  return end == std::string_view::npos ? std::string() : std::string(text.substr(begin, end + 1 - begin));
}

std::optional<Moment> Mail::had(const demo::Flags& wanted, Moment from) const {
  std::optional<Moment> first;
  for (auto version = flags.rbegin(); version != flags.rend(); ++version) {
    if (version->flags == wanted) first = std::max(version->since, from);
    if (version->since <= from) break;  // the ones before it had ended by then
  }
  return first;
}

bool MailboxHistory::has_another_identity(const demo::MailStore& store) const {
  return store.revision(id_) != revision_ && store.numbers(id_).uid_validity != uid_validity_;
}

void MailboxHistory::look(const demo::MailStore& store, Moments& moments, const Listener& listener) {
  if (store.revision(id_) == revision_) return;
  const auto now = store.snapshot(id_);
  revision_ = now.revision;
  uid_validity_ = now.uid_validity;
  changed_ = moments.now();
  const auto tell = [&](Change::Kind kind, const Mail& mail, demo::Flags before = {}) {
    if (listener) listener(*this, {kind, mail, std::move(before)});
  };

  std::vector<uint32_t> still;
  auto current = now.messages.begin();
  for (const uint32_t uid : alive_) {
    Mail& mail = mails_[uid - 1];
    if (current == now.messages.end() || current->uid != uid) {
      mail.gone = changed_;
      tell(Change::Kind::kGone, mail);
      continue;
    }
    if (current->flags != mail.message.flags) {
      demo::Flags before = std::exchange(mail.message.flags, current->flags);
      mail.flags.push_back({changed_, current->flags});
      tell(Change::Kind::kFlags, mail, std::move(before));
    }
    still.push_back(uid);
    ++current;
  }
  alive_ = std::move(still);
  for (; current != now.messages.end(); ++current) {
    assert(current->uid >= uid_next());
    // Born and gone between two looks: the UID was used all the same.
    while (uid_next() < current->uid) mails_.push_back({{}, {}, changed_, changed_, {{changed_, {}}}});
    mails_.push_back(
        {*current, find_token(*current->octets), changed_, std::nullopt, {{changed_, current->flags}}});
    alive_.push_back(current->uid);
    by_token_[mails_.back().token].push_back(current->uid);
    tell(Change::Kind::kBorn, mails_.back());
  }
}

const Mail* MailboxHistory::find(uint32_t uid) const {
  return uid == 0 || uid > mails_.size() ? nullptr : &mails_[uid - 1];
}

const std::vector<uint32_t>& MailboxHistory::with_token(const std::string& text) const {
  static const std::vector<uint32_t> kNone;
  const auto found = by_token_.find(text);
  return found == by_token_.end() ? kNone : found->second;
}

uint32_t MailboxHistory::alive_since(Moment before) const {
  return static_cast<uint32_t>(
      std::ranges::count_if(alive_, [&](uint32_t uid) { return mails_[uid - 1].born < before; }));
}

MailboxHistory& MailHistory::add(const std::string& user, const std::string& mailbox) {
  auto& history = mailboxes_[{user, mailbox}];
  history = std::make_unique<MailboxHistory>(user, mailbox, store_.find(user, mailbox).value());
  history->look(store_, moments_, {});
  return *history;
}

void MailHistory::look() {
  for (auto& [name, mailbox] : mailboxes_) {
    if (!mailbox->has_another_identity(store_)) {
      mailbox->look(store_, moments_, listener_);
      continue;
    }
    const auto now = moments_.now();
    mailbox->retire(now);
    auto next = std::make_unique<MailboxHistory>(name.first, name.second, mailbox->id(), now);
    retired_.push_back(std::exchange(mailbox, std::move(next)));
    mailbox->look(store_, moments_, {});
  }
}

MailboxHistory* MailHistory::find(const std::string& user, const std::string& mailbox) {
  const auto found = mailboxes_.find({user, mailbox});
  return found == mailboxes_.end() ? nullptr : found->second.get();
}

std::vector<MailboxHistory*> MailHistory::of_user(const std::string& user) {
  std::vector<MailboxHistory*> all;
  for (const auto& [name, mailbox] : mailboxes_)
    if (name.first == user) all.push_back(mailbox.get());
  return all;
}

}  // namespace imapmux::simulation
