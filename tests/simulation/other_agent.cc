#include "simulation/other_agent.h"

#include "simulation/mail_text.h"

namespace imapmux::simulation {
namespace {

constexpr size_t kFew = 3;
constexpr size_t kMany = 25;

}  // namespace

OtherAgent::OtherAgent(World& world, MailHistory& history, demo::MailStore& store, const Habits& habits,
                       std::vector<std::string> users, Question is_open, Question may_renew)
    : world_(world),
      history_(history),
      store_(store),
      habits_(habits),
      users_(std::move(users)),
      is_open_(std::move(is_open)),
      may_renew_(std::move(may_renew)),
      next_act_(world.scheduler, [this] { act(); }) {
  next_act_.start(base::Millis(100));
}

void OtherAgent::act() {
  auto& random = world_.random;
  next_act_.start(base::Millis(random.percent(80) ? random.below(600) : random.below(5'000)));
  if (resting_) return;
  const auto& mailbox = some_mailbox();
  ++world_.steps;
  acting_ = true;
  const size_t messages = mailbox.alive().size();
  const auto dice = random.below(100);
  if (habits_.rules.renewals && random.percent(4) && may_renew_(mailbox)) {
    renew(mailbox);
  } else if (messages <= kFew || (dice < 30 && messages < kMany)) {
    deliver(mailbox);
  } else if (dice < 55 || messages > kMany) {
    expunge(mailbox);
    if (messages > kMany) expunge(mailbox);
  } else if (dice < 65) {
    exchange(mailbox);
  } else {
    change_flags(mailbox);
  }
  acting_ = false;
}

// Half the time one that nobody looks at just then.
const MailboxHistory& OtherAgent::some_mailbox() {
  auto& random = world_.random;
  const bool closed = random.percent(50);
  const MailboxHistory* mailbox = nullptr;
  for (int tries = 0; tries == 0 || (tries < 5 && closed && is_open_(*mailbox)); ++tries) {
    const auto& name = random.percent(40) ? habits_.mailboxes.front() : random.pick(habits_.mailboxes);
    mailbox = history_.find(random.pick(users_), name);
  }
  return *mailbox;
}

// As many come as go, or a few more: what is counted looks as if nothing had gone.
void OtherAgent::exchange(const MailboxHistory& mailbox) {
  auto& random = world_.random;
  const auto gone = random.between(1, 2);
  const auto more = random.percent(50) ? 0U : random.between(1, 2);
  const bool comes_first = random.percent(50);
  if (comes_first) deliver(mailbox);
  for (uint32_t i = 0; i < gone; ++i) expunge(mailbox);
  for (uint32_t i = comes_first ? 1 : 0; i < gone + more; ++i) deliver(mailbox);
}

// A restored backup, say.
void OtherAgent::renew(const MailboxHistory& mailbox) {
  world_.dialogue.note(mailbox.user() + ".b", mailbox.name() + " gets another UIDVALIDITY");
  store_.renew(mailbox.id());
}

void OtherAgent::deliver(const MailboxHistory& mailbox) {
  demo::Flags flags;
  if (world_.random.percent(20)) flags.insert("\\Flagged");
  const std::string token = habits_.new_token();
  world_.dialogue.note(mailbox.user() + ".b", "delivered to " + mailbox.name() + ": " + token);
  store_.append(mailbox.user(), mailbox.name(), mail_text(token, habits_.padding(400)), flags);
}

void OtherAgent::expunge(const MailboxHistory& mailbox) {
  if (mailbox.alive().empty()) return;
  const uint32_t uid = world_.random.pick(mailbox.alive());
  world_.dialogue.note(mailbox.user() + ".b",
                       "expunged from " + mailbox.name() + ": UID " + std::to_string(uid));
  store_.expunge(mailbox.user(), mailbox.name(), uid);
}

void OtherAgent::change_flags(const MailboxHistory& mailbox) {
  static const std::vector<std::string> kFlags = {"\\Seen", "\\Flagged", "\\Answered", "Work"};
  const uint32_t uid = world_.random.pick(mailbox.alive());
  const auto& flag = world_.random.pick(kFlags);
  const bool add = world_.random.percent(60);
  world_.dialogue.note(mailbox.user() + ".b", "changed in " + mailbox.name() + ": UID " +
                                                  std::to_string(uid) + (add ? " +" : " -") + flag);
  store_.store_flags(mailbox.id(), uid, add ? demo::StoreMode::kAdd : demo::StoreMode::kRemove, {flag});
}

}  // namespace imapmux::simulation
