#include "simulation/simulation.h"

#include <fmt/core.h>

#include <algorithm>

#include "simulation/setting.h"

namespace imapmux::simulation {

using base::Millis;

namespace {

constexpr uint64_t kStepsToSettle = 400;
constexpr Millis kTurn{10};
constexpr Millis kLookAfter{500};
constexpr Millis kLongEnough{600'000};
constexpr int kMostQuestions = 40;  // a silent connection may have to time out
// What a vanished client asked for may be done for so long.
constexpr size_t kOldAudits = 200;

std::vector<std::string> users_of(Random& random) {
  if (random.percent(50)) return {"alice"};
  return {"alice", "bob"};
}

}  // namespace

Simulation::Simulation(const RunOptions& options)
    : options_(options),
      world_(options.seed, options.verbose),
      quirks_(any_quirks(world_.random)),
      users_(users_of(world_.random)),
      rules_(any_rules(world_.random, options.access, users_.size())),
      network_(world_),
      backend_(world_, network_, server_options(quirks_, users_), rules_),
      history_(backend_.server().store(), world_.moments) {
  habits_.rules = rules_;
  habits_.mailboxes = kMailboxes;
  habits_.new_token = [tokens = 0U]() mutable { return token(++tokens); };
  habits_.padding = [this](uint32_t most) {
    return world_.random.percent(2) ? world_.random.below(20'000) : world_.random.below(most);
  };
  for (const auto& user : users_)
    for (const auto& mailbox : kMailboxes) history_.add(user, mailbox);
  history_.set_listener([this](const auto& mailbox, const auto& change) { on_change(mailbox, change); });
  backend_.server().store().set_listener([this] {
    history_.look();
    backend_.notify_soon();
  });
  proxy_ = std::make_unique<ProxyWorker>(world_, backend_, proxy_config(rules_));
  agent_ = std::make_unique<OtherAgent>(
      world_, history_, backend_.server().store(), habits_, users_,
      [this](const auto& mailbox) { return is_open(mailbox); },
      [this](const auto& mailbox) { return may_renew(mailbox); });
  trouble_ = std::make_unique<Trouble>(world_, backend_, rules_, users_);

  MailClient::Surroundings around{
      .audit = {world_, history_, promises_, rules_,
                [this](const auto& mailbox) { return is_open(mailbox); }},
      .network = network_,
      .habits = habits_,
      .proxy = [this](std::unique_ptr<net::Stream> stream) { proxy_->accept(std::move(stream)); },
      .on_connected = [this](const auto& audit) { audits_.push_back(audit); },
  };
  const uint32_t clients = world_.random.between(3, 8);
  for (uint32_t i = 1; i <= clients; ++i) {
    const auto& user = users_[i % users_.size()];
    clients_.push_back(std::make_unique<MailClient>(around, MailClient::Account{user, password_of(user)},
                                                    fmt::format("{}.c{}", user, i)));
  }
}

Simulation::~Simulation() = default;

std::string Simulation::describe() const {
  return fmt::format("seed={} users={} clients={} {} {}", options_.seed, users_.size(), clients_.size(),
                     simulation::describe(rules_), simulation::describe(quirks_));
}

std::string Simulation::report() const {
  const auto& verdict = world_.verdict;
  return fmt::format("{}\n{}\nstep {}, {}: {}\n", world_.dialogue.last(verdict.who(), 60), describe(),
                     world_.steps, verdict.who(), verdict.what());
}

// Somebody at a connection of the proxy did it: somebody must have asked for it.
void Simulation::on_change(const MailboxHistory& mailbox, const MailboxHistory::Change& change) {
  if (agent_->acting()) return;
  using Kind = MailboxHistory::Change::Kind;
  if (change.kind == Kind::kBorn) {
    if (auto problem = promises_.added(mailbox.id(), change.mail.token))
      world_.verdict.fail(mailbox.user() + ".b", *problem);
  }
  const bool explained =
      std::ranges::any_of(audits_, [&](const auto& audit) { return audit->explains(mailbox, change); });
  if (explained) return;
  static constexpr std::string_view kWhat[] = {"came into", "was expunged from", "was changed in"};
  world_.verdict.fail(
      mailbox.user() + ".b",
      fmt::format("UID {} ({}) {} {}, and nobody asked for it", change.mail.uid(), change.mail.token,
                  kWhat[static_cast<size_t>(change.kind)], mailbox.name()));
}

bool Simulation::is_open(const MailboxHistory& mailbox) {
  return backend_.server().sessions_in(mailbox.user(), mailbox.name()) > 0;
}

// Who was told of no message need not hear of it, and what he is told then may be of the one or the other.
bool Simulation::may_renew(const MailboxHistory& mailbox) {
  if (is_open(mailbox) || world_.losses[mailbox.user()].unnoticed > 0) return false;
  return std::ranges::none_of(audits_, [&](const auto& audit) {
    return !audit->closed() && audit->open() && audit->open()->history == &mailbox &&
           audit->open()->picture.exists() == 0;
  });
}

void Simulation::look_after() {
  looked_after_ = world_.scheduler.now();
  for (const auto& client : clients_)
    if (!client->gone()) client->audit()->look_after();
  if (const auto total = backend_.server().violations().total(); total > 0)
    world_.verdict.fail(
        "?.b", fmt::format("{} violations: {}", total, backend_.server().violations().texts().front()));
  network_.sweep();
  backend_.sweep();
  if (audits_.size() > kOldAudits)
    std::erase_if(audits_, [](const auto& audit) { return audit->closed() && audit->idle(); });
  if (audits_.size() > kOldAudits) audits_.erase(audits_.begin(), audits_.begin() + kOldAudits / 2);
}

void Simulation::play_for(Millis time) {
  const auto end = world_.scheduler.now() + time;
  while (world_.scheduler.now() < end && !world_.verdict.failed()) {
    world_.scheduler.advance(kTurn);
    if (world_.scheduler.now() - looked_after_ >= kLookAfter) look_after();
  }
}

void Simulation::play_until(const std::function<bool()>& done, const std::string& what) {
  const auto end = world_.scheduler.now() + kLongEnough;
  while (!done() && !world_.verdict.failed()) {
    play_for(kTurn);
    if (world_.scheduler.now() > end) world_.verdict.fail("?", what);
  }
}

bool Simulation::run() {
  uint64_t next_settling = kStepsToSettle;
  while (world_.steps < options_.steps && !world_.verdict.failed()) {
    play_for(kTurn);
    if (world_.steps < next_settling) continue;
    settle();
    next_settling = world_.steps + kStepsToSettle;
  }
  if (!world_.verdict.failed()) tear_down();
  return !world_.verdict.failed();
}

// Nothing happens any more; then everybody asks once, and knows the truth.
void Simulation::settle() {
  const auto at_rest = [this] {
    return std::ranges::all_of(clients_, [](const auto& client) { return client->at_rest(); });
  };
  agent_->rest(true);
  trouble_->rest(true);
  for (const auto& client : clients_) client->rest(true);
  play_until(at_rest, "the clients do not come to rest");
  play_until([this] { return backend_.accepts(); }, "the server is away");
  if (rules_.any_trouble()) play_for(Millis(11'000));  // BackOff pauses for 10 s
  play_for(rules_.age_of_flags());
  if (!rules_.shared()) {
    // Their mailbox is attached for one at a time, for a command that needs it.
    for (const auto& client : clients_) {
      client->ask_for_all();
      play_until(at_rest, "a client does not get its news");
      if (world_.verdict.failed()) return;
    }
  }
  // NOOP does not wait long for a mailbox that is not attached just then: so it may take a second one.
  for (int asked = 0; rules_.shared() && (asked == 0 || (!everybody_was_told() && asked < kMostQuestions));
       ++asked) {
    if (asked > 0) play_for(Millis(1'000));
    for (const auto& client : clients_) client->ask_for_news();
    play_until(at_rest, "the clients do not get their news");
    if (world_.verdict.failed()) return;
  }
  for (const auto& client : clients_) {
    // NOOP takes no other user's connection.
    const bool in_vain = !client->gone() && rules_.most_in_all > 0 && client->audit()->asked_in_vain();
    if (!client->gone() && !in_vain) client->audit()->settled();
  }
  agent_->rest(false);
  trouble_->rest(false);
  for (const auto& client : clients_) client->rest(false);
}

bool Simulation::everybody_was_told() const {
  return std::ranges::all_of(
      clients_, [](const auto& client) { return client->gone() || !client->audit()->asked_in_vain(); });
}

void Simulation::tear_down() {
  agent_->rest(true);
  trouble_->rest(true);
  for (const auto& client : clients_) client->leave();
  if (world_.random.percent(30)) {
    world_.ending = true;
    proxy_->shut_down();
  }
  play_until(
      [this] { return std::ranges::all_of(clients_, [](const auto& client) { return client->gone(); }); },
      "a client is not disconnected");
  play_until([this] { return proxy_->done(); }, "the proxy does not come to its end");
  if (world_.verdict.failed()) return;
  proxy_->close_accounts();
  play_until([this] { return proxy_->done(); }, "the accounts are not closed");
  if (world_.verdict.failed()) return;
  play_for(Millis(1'000));
  look_after();
  std::string problem = proxy_->leftovers();
  if (network_.links() > 0) problem = fmt::format("{} streams are still open", network_.links());
  if (backend_.connections() > 0 || backend_.server().open_sessions() > 0)
    problem = "a connection to the backend is still open";
  if (!problem.empty()) world_.verdict.fail("?", "at the end: " + problem);
  clients_.clear();
  agent_.reset();
  trouble_.reset();
  proxy_.reset();
  world_.scheduler.advance(Millis(1'000));
  if (!world_.verdict.failed() && world_.scheduler.next_timer() != base::Instant::max())
    world_.verdict.fail("?", "at the end: a timer is still set");
}

}  // namespace imapmux::simulation
