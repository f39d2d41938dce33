#include "probe/probe.h"

#include "async/task_scope.h"

namespace imapmux::probe {

namespace {

using async::Task;
using Verdict = Opening::Verdict;

constexpr int kTries = 3;
constexpr base::Millis kBetweenTries{500};

// Ends the questions; the text is for the operator.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string why_not(const Opening& opening, const Options& options) {
  const auto server = options.server.to_string();
  switch (opening.verdict) {
    case Verdict::kOpen:
      break;
    case Verdict::kUnreachable:
      return "no session with " + server + ": " + opening.text +
             (opening.text.starts_with("TLS") ? " (see --ca, --tls-verify, --min-protocol, --ciphers)" : "");
    case Verdict::kTurnedAway:
      return server + " turned the connection away: " + opening.text;
    case Verdict::kCutAtLogin:
      return server + " ended the connection instead of answering the login: " + opening.text;
    case Verdict::kNoSlot:
      return "there is no place for one more connection of " + options.user + ": " + opening.text;
    case Verdict::kRefused:
      break;
  }
  std::string text = "the login of " + options.user + " was refused: " + opening.text;
  if (options.tls == config::BackendTls::kNone && opening.before.has("LOGINDISABLED"))
    text += " (the server wants TLS before the login: --tls starttls)";
  return text;
}

}  // namespace

// All that lives as long as the loop, which goes last.
class Probe::Work {
 public:
  Work(Options options, base::Secret password, Questions::Progress progress)
      : options_(std::move(options)),
        progress_(std::move(progress)),
        door_(loop_, transcript_, options_, std::move(password)),
        sessions_(door_, options_.user),
        questions_(door_, sessions_, mailbox_, transcript_, outcome_.findings) {}

  Outcome run() {
    loop_.post([this] {
      asking_.spawn(ask());
      ending_.spawn(end());
    });
    loop_.run();
    return std::move(outcome_);
  }
  void interrupt() {
    loop_.post([this] { asking_.cancel(); });
  }

 private:
  Task<> ask();
  Task<> find_out();
  Task<> end();
  Task<> clean_up();

  net::EventLoop loop_;
  const Options options_;
  const Questions::Progress progress_;
  Transcript transcript_;
  Door door_;
  Sessions sessions_;
  ProbeMailbox mailbox_;
  Outcome outcome_;
  Questions questions_;
  async::TaskScope asking_{loop_};
  async::TaskScope ending_{loop_};
};

Task<> Probe::Work::ask() {
  try {
    co_await find_out();
  } catch (const async::Cancelled&) {
    outcome_.failure = "interrupted";
  } catch (const std::exception& error) {
    outcome_.failure = error.what();
  }
}

Task<> Probe::Work::find_out() {
  auto& findings = outcome_.findings;
  auto opening = co_await sessions_.begin();
  if (opening.verdict != Verdict::kOpen) throw Failure(why_not(opening, options_));
  auto session = co_await sessions_.ready(Who::kA);
  if (!session) throw Failure("the server ended the session: " + sessions_.why_none());
  findings.greeting = session->greeting();
  findings.before_login = opening.before;
  findings.after_login = session->capabilities();
  co_await mailbox_.explore(*session, findings.notes);
  findings.shared_namespaces = mailbox_.namespaces().shared;
  auto refused = co_await mailbox_.create(*session);
  if (!refused.empty()) throw Failure("a mailbox to work in can't be created: " + refused);
  findings.mailbox = mailbox_.name();
  auto trouble = co_await mailbox_.refill(*session);
  if (!trouble.empty()) throw Failure("messages can't be put into " + mailbox_.name() + ": " + trouble);
  co_await questions_.ask_all(options_.user, options_.most_connections, progress_);
}

// Not cancelled by an interruption.
Task<> Probe::Work::end() {
  co_await asking_.join();
  try {
    co_await clean_up();
  } catch (const std::exception& error) {
    outcome_.left_behind = mailbox_.may_exist() + ": " + error.what();
  }
  loop_.stop();
}

Task<> Probe::Work::clean_up() {
  for (int tries = 0; !mailbox_.may_exist().empty() && tries < kTries; ++tries) {
    if (tries > 0) co_await async::sleep_for(kBetweenTries);
    auto session = co_await sessions_.any();
    std::string why = sessions_.why_none();
    if (session) why = co_await mailbox_.remove(*session);
    const auto left = mailbox_.may_exist();
    outcome_.left_behind = left.empty() ? "" : left + ": " + why;
  }
  outcome_.findings.mailbox_deleted = mailbox_.may_exist().empty();
  co_await sessions_.close_all();
}

Probe::Probe(Options options, base::Secret password, Questions::Progress progress)
    : work_(std::make_unique<Work>(std::move(options), std::move(password), std::move(progress))) {}

Probe::~Probe() = default;

Outcome Probe::run() {
  return work_->run();
}

void Probe::interrupt() {
  work_->interrupt();
}

}  // namespace imapmux::probe
