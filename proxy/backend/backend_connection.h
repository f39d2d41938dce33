// One IMAP connection to a backend server: sends commands, matches tagged answers, hands everything else to
// an observer.
//
// Owned by whoever uses it (a client session; later a slot of an account), on that worker's thread. It sends
// LOGOUT by itself in no case: close() does, when asked. A lost connection is told once to the observer and
// fails every wait.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "async/wait.h"
#include "backend/backend_servers.h"
#include "backend/capabilities.h"
#include "base/bytes.h"
#include "net/stream.h"
#include "wire/response_parser.h"
#include "wire/writer.h"

namespace imapmux::backend {

// The tagged end of a command, as values.
struct TaggedReply {
  wire::ResponseName status = wire::ResponseName::kNo;  // kOk, kNo or kBad
  std::string code;                                     // upper case
  std::string code_arguments;
  std::string text;  // for people
  bool ok() const { return status == wire::ResponseName::kOk; }
};
TaggedReply to_reply(const wire::Response& response);
// "NO [CODE arguments] text", as it stands behind a tag.
std::string to_text(const TaggedReply& reply);

struct LiteralStart {
  uint64_t size;
  bool literal8;
};

// Who gets what is not a tagged answer. The views are valid during the call.
class ResponseObserver {
 public:
  // With `literal`, its octets come next by on_literal(), then on_text().
  virtual void on_untagged(const wire::Response& response, std::optional<LiteralStart> literal) noexcept = 0;
  virtual void on_literal(std::string_view octets) noexcept = 0;
  virtual void on_text(std::string_view text, std::optional<LiteralStart> literal) noexcept = 0;
  virtual void on_backend_lost(const std::string& reason) noexcept = 0;
  // What was written has gone out, after it had piled up.
  virtual void on_backend_drained() noexcept {}

 protected:
  ~ResponseObserver() = default;
};

// The server closed the connection instead of greeting, or said BYE.
class TurnedAway : public net::ConnectionLost {
 public:
  using ConnectionLost::ConnectionLost;
};

class BackendConnection;

// Who waits for a tagged answer. If it is destroyed first, the answer is dropped.
class Completion {
 public:
  virtual void on_tagged(const wire::Response& response) noexcept = 0;
  virtual void on_lost(const std::string& reason) noexcept = 0;

 protected:
  ~Completion() = default;
};

// Waits for one tagged answer on behalf of a task; lives in its frame, not longer than the connection.
class PendingReply final : public Completion {
 public:
  explicit PendingReply(BackendConnection& connection) : connection_(connection) {}
  ~PendingReply();
  PendingReply(const PendingReply&) = delete;
  PendingReply& operator=(const PendingReply&) = delete;
  // Throws net::ConnectionLost.
  async::Task<TaggedReply> wait();

 private:
  void on_tagged(const wire::Response& response) noexcept override;
  void on_lost(const std::string& reason) noexcept override;

  BackendConnection& connection_;
  TaggedReply reply_;
  async::Event done_;
  bool lost_ = false;
};

class BackendConnection final : private net::StreamHandler {
 public:
  // What became of the wait for "+".
  enum class Go : uint8_t { kContinue, kAnswered };

  BackendConnection(async::Scheduler& scheduler, std::unique_ptr<net::Stream> stream,
                    base::Millis command_timeout);
  ~BackendConnection();

  // Reads the greeting within `limit`. Throws TurnedAway, or net::ConnectionLost if none came.
  async::Task<> greet(base::Millis limit);

  // Sends `text` (without tag and line end) and waits for its end. Untagged answers go to the observer.
  // Throws net::ConnectionLost. Literals in `text` are sent as the server takes them.
  async::Task<TaggedReply> run(std::string text);

  // The same for a command that holds a password, which is wiped once it is written.
  async::Task<TaggedReply> run_secret(base::Secret text);
  // AUTHENTICATE with one (base64) message from us: with the command if the server has SASL-IR, else behind
  // "+". `challenge` gets what the server answered to it before it refused (the JSON of OAuth mechanisms).
  async::Task<TaggedReply> authenticate(std::string mechanism, std::string_view message,
                                        std::string& challenge);

  // For commands that are relayed: registers `completion` and sends the pieces up to the first that must wait
  // for
  // "+"; 0 pieces are left if it went out at once. `pieces` come from wire::write_command with tag
  // next_tag().
  std::string next_tag();
  void send(const std::string& tag, std::string_view octets, Completion& completion);
  // A command in one line: "tag text".
  void send_line(const std::string& tag, std::string_view text, Completion& completion);
  // Octets of the command that was sent last: more pieces, literals.
  void send_more(std::string_view octets);
  // Waits for "+", or until the command with this tag was answered instead.
  async::Task<Go> continuation(const std::string& tag, std::string* text = nullptr);
  // A command goes out in pieces from here on, until command_completed(): what is sent in between belongs to
  // it, and close() severs the connection instead of letting LOGOUT become a part of somebody's message.
  void command_begun() { mid_command_ = true; }
  void command_completed() { mid_command_ = false; }
  bool mid_command() const { return mid_command_; }
  void forget(Completion& completion);

  void set_observer(ResponseObserver* observer) { observer_ = observer; }
  bool lost() const { return lost_; }
  const std::string& lost_reason() const { return lost_reason_; }
  // The gate: empty if what comes next on it may be somebody else's; else why not. Any doubt closes it, for
  // an answer in the wrong hands is worse than a connection less.
  std::string_view why_not_reusable() const;
  size_t in_flight() const { return in_flight_.size(); }
  size_t unsent() const { return stream_ ? stream_->unsent() : 0; }
  // Back-pressure: while paused, nothing is read, and no command times out.
  void pause();
  void resume();
  // Between IDLE's "+" and its DONE: it may stay unanswered for as long as it likes.
  void expect_silence();
  void expect_answers();

  const Capabilities& capabilities() const { return capabilities_; }
  void set_capabilities(Capabilities capabilities) { capabilities_ = std::move(capabilities); }
  bool greeted_preauth() const { return preauth_; }
  const std::string& greeting() const { return greeting_; }
  wire::LiteralForm literal_form() const;

  // STARTTLS: the stream underneath is replaced; the parser must be between responses.
  std::unique_ptr<net::Stream> take_stream();
  void set_stream(std::unique_ptr<net::Stream> stream);
  // For the transparent relay: when the tagged answer of the command in flight has come, nothing more is
  // parsed; what follows is kept for take_rest().
  void stop_after_answer() { stop_after_answer_ = true; }
  void go_on();  // parses again, beginning with what was kept
  std::string take_rest() { return std::move(rest_); }

  // LOGOUT (behind DONE if it idles), and waits at most `limit` until the server has closed: only then is it
  // certain that no mailbox is open. If it has not, or in the middle of a command, where LOGOUT would become
  // a part of it, the sending side is closed, and the server has `busy` to notice. Never throws. Afterwards
  // the connection is of no use.
  async::Task<> close(base::Millis limit, base::Millis busy = base::Millis(0));
  void abort(const std::string& reason = "closed by the proxy");

  // Held while the connection lives.
  ConnectionLimit::Permit permit;
  UsersThere::Stay stay;
  std::shared_ptr<BackendServers::Server> server;

 private:
  struct InFlight {
    std::string tag;
    Completion* completion;
  };
  void on_data(std::string_view chunk) noexcept override;
  void on_eof() noexcept override;
  void on_lost(const std::string& reason) noexcept override;
  void on_drained() noexcept override;
  void parse(std::string_view chunk);
  void dispatch(const wire::Response& response);
  void dispatch_tagged(const wire::Response& response);
  void dispatch_untagged(const wire::Response& response);
  void fail(const std::string& reason);
  bool expect(const std::string& tag, Completion& completion);
  void watch();
  void timed_out();
  base::Millis left_until(base::Instant deadline) const;
  std::optional<LiteralStart> literal_after(bool follows) const;

  async::Scheduler& scheduler_;
  std::unique_ptr<net::Stream> stream_;
  wire::ResponseParser parser_;
  ResponseObserver* observer_ = nullptr;
  Capabilities capabilities_;
  std::deque<InFlight> in_flight_;
  uint64_t tags_ = 0;

  async::Event greeted_;
  std::string greeting_;
  bool preauth_ = false;
  async::WaitList changed_;  // "+", a tagged answer, the end
  uint32_t continuations_ = 0;
  std::string continuation_text_;

  base::Millis command_timeout_;
  async::Timer timer_;
  base::Instant last_heard_{};
  base::Instant asked_at_{};
  bool times_answer_ = false;  // of what was asked at that time, nothing has come yet
  bool silent_ = false;
  bool mid_command_ = false;
  bool surprised_ = false;  // the server answered what nobody had asked
  bool paused_ = false;
  bool stop_after_answer_ = false;
  bool stopped_ = false;
  std::string rest_;
  bool closing_ = false;
  bool lost_ = false;
  std::string lost_reason_;
};

}  // namespace imapmux::backend
