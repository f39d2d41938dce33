// One connection to the legacy server: IMAP4rev1 (RFC 3501) as a pure state machine, octets in, octets out.
//
// Owned by the net glue, which makes it when a connection is accepted and destroys it when the connection is
// gone. All sessions of a LegacyServer run on its one thread, and one session may sever another
// (SecondSession::kSeversFirst): a SessionOutput's close() can be called outside of its own session's
// receive().
//
// Its commands are in three files: legacy_session.cc (input, login, IDLE), mailbox_commands.cc,
// message_commands.cc.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "demo/legacy_server.h"
#include "demo/selected_mailbox.h"
#include "wire/command_parser.h"
#include "wire/command_table.h"

namespace imapmux::demo {

// Where a session writes to. Outlives the session. None of its functions may destroy the session or call back
// into it: the glue does that later.
class SessionOutput {
 public:
  virtual ~SessionOutput() = default;
  virtual void send(std::string_view octets) = 0;
  // Behind what was sent. Nothing is sent any more.
  virtual void close() = 0;
  // Behind what was sent: the TLS handshake comes next, and what is received from then on is its plain text.
  virtual void start_tls() {}
};

class LegacySession {
 public:
  // `peer_address` is what max_connections_per_address counts by, so without a port. `secure`: TLS from the
  // start.
  LegacySession(LegacyServer& server, std::string peer_address, SessionOutput& output, bool secure = false);
  ~LegacySession();
  LegacySession(const LegacySession&) = delete;
  LegacySession& operator=(const LegacySession&) = delete;

  void start();  // the greeting; once, before anything is received
  void receive(std::string_view octets);
  void disconnected();  // the peer vanished: the mailbox is free again
  void on_tick();       // an idling session looks for changes
  // "* BYE reason" and close, at whatever point it is.
  void sever(std::string_view reason);

  bool closed() const { return closed_; }
  bool idling() const { return mode_ == Mode::kIdle; }
  const std::string& user() const { return user_; }  // empty before the login
  const std::string& peer_address() const { return peer_address_; }
  const SelectedMailbox* selected() const { return selected_.get(); }

 private:
  // What the next line is.
  enum class Mode : uint8_t { kCommand, kIdle, kPlain, kLoginUser, kLoginPassword };
  // "OK ..." without the tag. Empty: the command is not at its end, or the session closed.
  using Reply = std::string;

  struct Append {
    std::string tag;
    std::string mailbox;
    Flags flags;
    std::optional<ZonedTime> date;
    std::string octets;
    std::string problem;  // not empty: the literal is read and thrown away, and this is the reply
  };

  // legacy_session.cc
  void on_event(wire::CommandParser::Event event);
  void on_line(std::string_view line);
  void execute(const wire::Command& command);
  Reply dispatch(const wire::Command& command);
  Reply dispatch_mailbox(wire::Verb verb, wire::TokenReader& reader);
  Reply dispatch_message(wire::Verb verb, wire::TokenReader& reader);
  bool supported(wire::Verb verb) const;
  void finish(std::string_view tag, const Reply& reply, bool may_expunge);
  void flush();
  void close();
  wire::State state() const;
  std::string capabilities() const;
  Reply do_login(wire::TokenReader& reader);
  Reply do_authenticate(wire::TokenReader& reader);
  Reply authenticate_plain(std::string_view base64);
  Reply log_in(const std::string& user, std::string_view password);
  Reply do_starttls();
  Reply do_idle();
  Reply do_id(wire::TokenReader& reader);

  // mailbox_commands.cc
  Reply do_select(wire::TokenReader& reader, bool examine);
  Reply do_create(wire::TokenReader& reader);
  Reply do_delete(wire::TokenReader& reader);
  Reply do_rename(wire::TokenReader& reader);
  Reply do_subscribe(wire::TokenReader& reader, bool on);
  Reply do_list(wire::TokenReader& reader);
  Reply do_lsub(wire::TokenReader& reader);
  Reply do_status(wire::TokenReader& reader);
  // Counts and punishes STATUS of a mailbox that is selected; may close this very session.
  void check_status(MailboxId mailbox, const std::string& name, std::optional<MailboxNumbers>& stale);
  void begin_append(const wire::Command& command, uint64_t size, bool waits);
  std::string parse_append(const wire::Command& command, uint64_t size);
  void end_append(std::string_view behind);
  // Counts it if another session has the mailbox selected.
  void check_target(MailboxId mailbox, std::string_view command, const std::string& name);
  // True if another session has it, or one below it, selected: counted, and refused where sessions exclude
  // each other.
  bool refuses_restructure(const std::vector<MailboxId>& mailboxes, std::string_view command,
                           const std::string& name);
  std::string text_of_violation(std::string_view what, std::string_view mailbox) const;

  // message_commands.cc
  Reply do_fetch(wire::TokenReader& reader, bool uid);
  Reply do_store(wire::TokenReader& reader, bool uid);
  Reply do_search(wire::TokenReader& reader, bool uid);
  Reply do_copy(wire::TokenReader& reader, bool uid, bool move);
  Reply do_expunge();
  Reply do_uid_expunge(wire::TokenReader& reader);
  Reply do_close(bool expunge);
  // The sequence set at the front; nothing if it is malformed or out of range.
  std::optional<std::vector<size_t>> take_messages(wire::TokenReader& reader, bool uid);
  std::vector<uint32_t> deleted_uids() const;

  LegacyServer& server_;
  const std::string peer_address_;
  SessionOutput& output_;
  wire::CommandParser parser_;
  bool secure_;
  bool closed_ = false;
  bool input_ends_ = false;  // what is left of this input is not to be read: TLS begins
  Mode mode_ = Mode::kCommand;
  std::string tag_;         // of the command that waits for a line
  std::string login_user_;  // AUTHENTICATE LOGIN, between its two lines
  std::string user_;
  std::unique_ptr<SelectedMailbox> selected_;
  std::optional<Append> append_;
  std::string out_;
};

// A flag list in parentheses, or without them where `bare` allows it; \Recent is dropped. Nothing if it is
// malformed.
std::optional<Flags> parse_flags(wire::TokenReader& reader, bool bare);
// A mailbox name, canonical.
std::optional<std::string> take_mailbox(wire::TokenReader& reader);

}  // namespace imapmux::demo
