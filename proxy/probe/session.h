// One session with the server: asks a command, and gives back all that came until its answer.
//
// Owned by Sessions, on the probe's loop. A connection that is lost is an answer like others: what a server
// does to a session is what a probe wants to know.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/open.h"
#include "probe/transcript.h"

namespace imapmux::probe {

// An untagged response, kept.
struct Heard {
  wire::ResponseName name = wire::ResponseName::kOther;
  uint32_t number = 0;  // "* 23 EXISTS"; 0: none
  std::string code;     // of the status responses, upper case
  std::string code_arguments;
  std::string arguments;  // see wire::Response
  std::string line;       // all of it, literals in place
};

struct Answer {
  std::string lost;            // why there is no answer: the connection ended, or time is up; empty: there is
  backend::TaggedReply reply;  // if it was not lost
  std::vector<Heard> heard;    // since the answer before

  bool ok() const { return lost.empty() && reply.ok(); }
  // The tagged answer as it came, or why there is none.
  std::string text() const { return lost.empty() ? backend::to_text(reply) : lost; }
  const Heard* find(wire::ResponseName name) const;
  // The argument of "* OK [CODE n]"; of STATUS, the number behind the item. Nothing if it is missing.
  std::optional<uint32_t> code_number(std::string_view code) const;
  std::optional<uint32_t> status_number(std::string_view item) const;
  bool contains(wire::ResponseName name, std::string_view text) const;
};

class Session final : private backend::ResponseObserver {
 public:
  Session(std::string name, Transcript& transcript, std::unique_ptr<backend::BackendConnection> connection);
  ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Throws net::ConnectionLost.
  async::Task<backend::LoginOutcome> log_in(const config::Backend& backend,
                                            const auth::Credential& credential, std::string user);
  async::Task<Answer> ask(std::string command);
  // SELECT or EXAMINE.
  async::Task<Answer> open(std::string verb, std::string mailbox);
  // Out of the mailbox; messages with \Deleted go.
  async::Task<> leave();
  // LOGOUT, until the server has closed.
  async::Task<> close();

  bool lost() const { return connection_->lost(); }
  bool usable() const { return connection_->why_not_reusable().empty(); }
  const backend::Capabilities& capabilities() const { return connection_->capabilities(); }
  const std::string& greeting() const { return connection_->greeting(); }

 private:
  void on_untagged(const wire::Response& response,
                   std::optional<backend::LiteralStart> literal) noexcept override;
  void on_literal(std::string_view octets) noexcept override;
  void on_text(std::string_view text, std::optional<backend::LiteralStart> literal) noexcept override;
  void on_backend_lost(const std::string&) noexcept override {}

  Tap tap_;
  std::vector<Heard> heard_;
  bool in_mailbox_ = false;
  std::unique_ptr<backend::BackendConnection> connection_;  // gone before the tap
};

// The highest UID in the mailbox that the session has open; 0: none, or it is not told.
async::Task<uint32_t> last_uid(Session& session);

// `name` as an argument of a command.
std::string quoted(std::string_view name);

}  // namespace imapmux::probe
