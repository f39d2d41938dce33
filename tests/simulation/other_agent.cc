#include "simulation/other_agent.h"

#include "simulation/mail_text.h"

namespace imapmux::simulation {
namespace {

constexpr size_t kFew = 3;
constexpr size_t kMany = 25;

}  // namespace

OtherAgent::OtherAgent(World& world, MailHistory& history, demo::MailStore& store, const Habits& habits,
                       std::vector<std::string> users)
    : world_(world),
      history_(history),
      store_(store),
      habits_(habits),
      users_(std::move(users)),
      next_act_(world.scheduler, [this] { act(); }) {
  next_act_.start(base::Millis(100));
}

void OtherAgent::act() {
  auto& random = world_.random;
  next_act_.start(base::Millis(random.percent(80) ? random.below(600) : random.below(5'000)));
  if (resting_) return;
  const auto& name = random.percent(60) ? habits_.mailboxes.front() : random.pick(habits_.mailboxes);
  const auto* mailbox = history_.find(random.pick(users_), name);
  ++world_.steps;
  acting_ = true;
  const size_t messages = mailbox->alive().size();
  const auto dice = random.below(100);
  if (messages <= kFew || (dice < 35 && messages < kMany)) {
    deliver(*mailbox);
  } else if (dice < 60 || messages > kMany) {
    expunge(*mailbox);
    if (messages > kMany) expunge(*mailbox);
  } else {
    change_flags(*mailbox);
  }
  acting_ = false;
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
