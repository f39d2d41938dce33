// One mail client, from its greeting to its end: not authenticated, then multiplexed, then gone; or until a
// Relay takes its place, or another worker.
//
// Lives in the frame of its worker's task for it (Worker::serve), on that worker's thread. Two parties work
// for it: the ClientReader, which keeps reading, and one task that executes what was read, in order.
#pragma once

#include <memory>
#include <string>

#include "async/task_scope.h"
#include "base/log_event.h"
#include "routing/router.h"
#include "session/client_reader.h"
#include "session/client_writer.h"
#include "session/meter.h"
#include "session/service.h"
#include "session/session.h"

namespace imapmux::session {

class AfterLogin;

class ClientSession final : public Session, private ClientReader::Listener {
 public:
  // A new client; `stream` is fresh from the listener, and a net::TcpStream if that has TLS or
  // proxy_protocol.
  ClientSession(Host& host, ServicePtr service, const config::Listener& listener,
                std::unique_ptr<net::Stream> stream, ClientPlaces places);
  // A client that another worker hands over, whose login is to be decided here.
  ClientSession(Host& host, std::unique_ptr<HandedOver> client);
  ~ClientSession();

  // All of its life; returns when everything of it is done, the backend connection closed and leases given
  // back.
  async::Task<> run();
  void shut_down() override;
  bool stopping() const override { return stopping_; }
  void cut_off() override;
  void kick() override;
  bool has_account() const override { return state_ >= State::kAuthenticating && !backend_name_.empty(); }
  // Set when run() ended because another worker owns the account.
  bool handed_over() const { return destination_ != kNowhere; }
  size_t destination() const { return destination_; }
  std::unique_ptr<HandedOver> take_hand_over() { return std::move(hand_over_); }

  uint64_t id() const override { return id_; }
  State state() const override { return state_; }
  std::string_view user() const override { return user_; }
  std::string_view login_name() const override { return login_name_; }
  std::string_view backend_name() const override { return backend_name_; }
  std::string server_name() const override { return server_name_; }
  bool waits() const override { return !waiting_for_.empty(); }
  base::Instant last_heard() const override { return last_heard_; }
  SessionStatus status() const override;

  // For what goes on after login (AfterLogin).
  Host& host() { return host_; }
  const Service& service() const { return *service_; }
  const config::Config& config() const { return *service_->config; }
  ClientReader& reader() { return reader_; }
  ClientWriter& writer() { return writer_; }
  void enter(State state);
  // Of connections that are opened for this client; nothing once it has gone.
  backend::MaybeOrigin origin() const;
  const std::string& label() const { return label_; }
  // A line of the log, with who it is about: session, client, user, backend, server.
  void log(base::log::Event& event, std::initializer_list<base::log::Field> fields) const;
  // Since the command at hand was taken from the queue.
  base::Millis busy_for() const;
  // The client has finished sending, or is to be stopped: waits for leases, slots and backends are given up.
  bool giving_up() const { return reader_.eof() || stopping_; }
  // Notified with what changes giving_up().
  async::WaitList& nudges() { return nudges_; }
  // Waits while the client does not read what it is sent.
  async::Task<> wait_for_room();
  bool has_room() const { return writer_.unsent() <= net::Stream::kHighWatermark && !writer_.backlogged(); }
  // The next entry, answering BAD for malformed ones. False: the client has finished, or is to be stopped.
  // It is then under way until the next one is asked for, or one of the two calls below.
  async::Task<bool> next(Entry& entry);
  // It has been answered: how long that took is counted.
  void command_answered();
  void answered(wire::Verb verb, base::Instant begun_at);
  // It is in flight beside those that follow: whoever answers it counts from what is returned.
  base::Instant command_goes_on() {
    under_way_ = false;
    return begun_at_;
  }
  // CAPABILITY, NOOP, ID, ENABLE, LOGOUT… of any state that need no backend. False: not one of them.
  bool answer_locally(const Entry& entry);
  void say_bye(std::string_view text);
  // The backend has gone, or something else that ends the session from a callback.
  void end(const std::string& reason);
  void waiting_for(std::string what) { waiting_for_ = std::move(what); }
  void now_in(std::string mailbox) { mailbox_ = std::move(mailbox); }

 private:
  static constexpr size_t kNowhere = static_cast<size_t>(-1);
  // What is left is another's: a worker's, or a relay's.
  bool has_left() const { return handed_over() || state_ == State::kRelaying; }
  static constexpr std::string_view kHandshake = "TLS handshake";

  void end_at_once(std::string_view bye, const std::string& reason);
  async::Task<> converse();
  async::Task<> talk();
  async::Task<> go_on_with_login();
  async::Task<> before_login();
  bool is_proxied() const;
  async::Task<> learn_peer();
  async::Task<> start_tls(const Entry& entry);
  async::Task<> start_tls_now();
  bool admit();
  void greet();
  std::string capabilities_before_login() const;
  bool login_allowed() const;

  // A login while it is decided, in the frame of decide() or go_on_with_login().
  struct Login {
    std::string tag;
    auth::Credential credential;
    routing::Target target;
    std::shared_ptr<backend::BackendServers> servers{};
    std::string name{};                      // backend and login name: what is counted by
    auth::CredentialCache::Digest digest{};  // not of a relay's
    std::shared_ptr<mailbox::Account> account{};
    mailbox::Account::Check check{};
    Seat seat{};
    const config::Backend& backend() const { return *target.backend; }
    bool shares() const { return backend().access == config::MailboxAccess::kShared; }
    bool relays() const { return backend().access == config::MailboxAccess::kUnrestricted; }
  };

  // login_commands.cc
  async::Task<> login(const Entry& entry);
  async::Task<> authenticate(const Entry& entry);
  async::Task<bool> sasl_line(std::string& line, std::string_view challenge);
  async::Task<> decide(std::string tag, auth::Credential credential);
  async::Task<> move_to(size_t worker, Login login);

  // login_service.cc: what an auth_http service says to a login
  async::Task<bool> ask_service(Login& login);
  async::Task<auth::ServiceAnswer> answer_of_service(const Login& login);
  // What the service's refusals are counted by: it may give the user another name.
  std::string name_for_service(const Login& login) const;
  auth::ClientFacts facts_for_service() const;
  async::Task<> refused_by_service(Login& login, auth::ServiceAnswer answer);

  // login_backend.cc
  async::Task<> open_backend(Login& login);
  async::Task<> wait_for_inheritance(const Login& login);
  enum class Line : uint8_t { kOneAtATime, kAll };
  async::Task<mailbox::Account::Check> may_ask(std::string name, std::shared_ptr<mailbox::Account> account,
                                               Line line, base::Millis limit, std::function<bool()> decided);
  enum class Place : uint8_t {
    kTaken,
    kNotNeeded,   // the credential is known to be good
    kKnownWrong,  // or bad
    kNone,
  };
  async::Task<Place> place_for(Login& login);
  async::Task<> ask(Login& login);
  void accepted(Login& login);
  void relay(Login& login);
  std::shared_ptr<mailbox::SharedAccount> known(const Login& login) const;
  bool is_verified(const std::shared_ptr<mailbox::SharedAccount>& sharing,
                   const auth::CredentialCache::Digest& digest) const;
  bool is_refused(const std::shared_ptr<mailbox::SharedAccount>& sharing,
                  const auth::CredentialCache::Digest& digest) const;
  bool admit_user(const std::string& tag, const std::string& name);
  void share(const Login& login, std::shared_ptr<mailbox::SharedAccount> account);
  void note_success(const Login& login);
  static constexpr std::string_view kRefused = "[AUTHENTICATIONFAILED] Authentication failed";
  async::Task<> refuse(std::string tag, std::string name, std::string challenge,
                       std::string text = std::string(kRefused), base::Millis at_least = base::Millis(0));
  void refuse_in_plain_text(const std::string& tag);
  void unavailable(const std::string& tag, std::string_view code, std::string_view why);
  void begin_trace(const std::string& user);
  void command_begins(wire::Verb verb);

  void on_client_data() noexcept override;
  void on_client_eof() noexcept override;
  void on_client_lost(const std::string& reason) noexcept override;
  void on_client_drained() noexcept override;
  void on_literal_wanted() noexcept override;
  ToldCount told_count() const noexcept override;
  void on_timer();
  std::optional<base::IpAddress> counted_address() const;

  Host& host_;
  ServicePtr service_;                // the newest one when it logged in
  ServicePtr greeted_by_;             // when it connected
  const config::Listener* listener_;  // owned by `greeted_by_`
  uint64_t id_;
  std::string label_;
  ClientPlaces places_;
  std::unique_ptr<net::Stream> stream_;
  std::unique_ptr<ProtocolTrace> trace_;
  ClientReader reader_;
  ClientWriter writer_;
  async::TaskScope scope_;
  async::Timer timer_;  // login, then idle time
  async::WaitList nudges_;
  State state_ = State::kConnected;
  std::string_view awaited_ = kHandshake;  // in kConnected, for the log
  std::unique_ptr<AfterLogin> after_login_;

  std::string user_;
  std::string backend_name_;
  std::string login_name_;  // there
  std::string server_name_;
  std::string mailbox_;
  std::string waiting_for_;
  std::shared_ptr<mailbox::Account> waiting_account_;  // while waiting for a place
  std::string end_reason_;
  uint64_t commands_ = 0;
  bool under_way_ = false;  // a command, since begun_at_
  wire::Verb verb_ = wire::Verb::kUnknown;
  uint32_t attempts_ = 0;  // to log in
  base::Instant connected_at_;
  base::Instant last_heard_;
  base::Instant begun_at_;  // the command at hand
  bool stopping_ = false;
  bool said_bye_ = false;
  size_t destination_ = kNowhere;
  bool adopted_ = false;                   // came by a hand-over
  std::unique_ptr<HandedOver> hand_over_;  // come, or on its way
};

// What a session does once its user is known, unless that is a relay's business. Owned by its session.
class AfterLogin {
 public:
  virtual ~AfterLogin() = default;
  // What CAPABILITY tells.
  virtual std::string capabilities() const = 0;
  // Executes what the client says until it logs out or goes.
  virtual async::Task<> serve() = 0;
  // When serve() has ended, however: closes the backend connection, gives leases back. Not cancelled.
  virtual async::Task<> finish() = 0;
  // From the stream's callbacks.
  virtual ToldCount told_count() const noexcept = 0;
  virtual void on_client_drained() noexcept = 0;
};

}  // namespace imapmux::session
