// `unrestricted`: a client whose octets go to its backend untouched, and the backend's to it. Takes the place
// of the ClientSession when the login has succeeded, and keeps of it only what a relay needs, for there are
// many, and most do nothing for hours: callbacks, and no coroutine before its end.
//
// Owned by its worker (RelayKeeper), on that worker's thread, until finish() has ended.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "async/wait.h"
#include "net/stream.h"
#include "session/protocol_trace.h"
#include "session/relay_keeper.h"
#include "session/service.h"
#include "session/session.h"

namespace imapmux::session {

class Relay final : public Session {
 public:
  // The client as its login has left it. Nobody handles its stream.
  struct Client {
    std::unique_ptr<net::Stream> stream;
    std::unique_ptr<ProtocolTrace> trace;  // may be null
    ClientPlaces places;
    std::shared_ptr<const config::Listener> listener;
    std::string user;
    uint64_t id = 0;
    base::Instant connected_at{};
    base::Millis idle_timeout{};
    uint64_t received = 0;  // octets, so far
    uint64_t sent = 0;
    uint32_t commands = 0;
    bool has_finished = false;  // sending
  };

  // The backend connection, logged in, and what it takes until the server has closed it.
  struct Backend {
    std::unique_ptr<net::Stream> stream;
    backend::ConnectionLimit::Permit permit;
    backend::UsersThere::Stay stay;
    mailbox::Account::Slot slot;
    std::shared_ptr<backend::BackendServers::Server> server;
    std::shared_ptr<backend::BackendServers> servers;
  };

  Relay(RelayKeeper& keeper, async::Scheduler& scheduler, Client&& client, Backend&& backend);
  ~Relay();
  // Once, when it is kept. What both have said behind the login comes first.
  void begin(std::string_view from_client, std::string_view from_backend);
  void backend_lost(const std::string& reason);
  // When it has ended: says BYE, closes the client's connection, and waits until the backend has closed, too.
  // Not cancelled.
  async::Task<> finish();

  void shut_down() override;
  bool stopping() const override { return stopping_; }
  void cut_off() override { end(std::string(kByeShutdown), kByeShutdown); }
  void kick() override { end(std::string(kByeKicked), kByeKicked); }
  bool has_account() const override { return true; }
  uint64_t id() const override { return client_.id; }
  State state() const override { return ending_ ? State::kLogout : State::kRelaying; }
  std::string_view user() const override { return client_.user; }
  std::string_view login_name() const override { return backend_.slot.account().login_name(); }
  std::string_view backend_name() const override { return backend_.servers->config().name; }
  std::string server_name() const override { return backend_.server->endpoint.to_string(); }
  bool waits() const override { return false; }
  base::Instant last_heard() const override { return last_heard_; }
  SessionStatus status() const override;

 private:
  // What the client's stream tells.
  struct ClientEnd final : net::StreamHandler {
    explicit ClientEnd(Relay& of) : relay(of) {}
    void on_data(std::string_view chunk) noexcept override;
    void on_spliced(size_t octets) noexcept override { relay.heard_client(octets); }
    void on_eof() noexcept override { relay.client_has_finished(); }
    void on_lost(const std::string& reason) noexcept override { relay.end("client lost: " + reason, {}); }
    void on_drained() noexcept override;
    Relay& relay;
  };
  // What the backend's does.
  struct BackendEnd final : net::StreamHandler {
    explicit BackendEnd(Relay& of) : relay(of) {}
    void on_data(std::string_view chunk) noexcept override;
    void on_spliced(size_t octets) noexcept override;
    void on_eof() noexcept override { relay.backend_lost("closed by the server"); }
    void on_lost(const std::string& reason) noexcept override { relay.backend_lost(reason); }
    void on_drained() noexcept override;
    Relay& relay;
  };
  // Why it ended, and what the client is told of it: nothing, if that is empty.
  struct Ending {
    std::string reason;
    std::string_view bye;
  };

  void to_client(std::string_view octets);
  void to_backend(std::string_view octets);
  void heard_client(size_t octets);
  void heard_backend();
  void client_has_finished();
  void remember(std::string_view octets);
  std::string_view tail() const { return {tail_.data(), tail_size_}; }
  bool was_told_bye() const;
  bool may_speak() const;
  void end(std::string reason, std::string_view bye);
  void say_bye();
  void on_timer();
  std::string client_name() const;
  void log_end(std::string_view client) const;

  RelayKeeper& keeper_;
  async::Scheduler& scheduler_;
  ClientEnd client_end_{*this};
  BackendEnd backend_end_{*this};
  Client client_;
  Backend backend_;
  async::Timer timer_;  // idle_timeout
  base::Instant last_heard_;
  std::unique_ptr<Ending> ending_;
  async::Event backend_closed_;
  bool stopping_ = false;
  uint8_t tail_size_ = 0;
  // The last octets that the client got: whether it is between responses, and was told BYE already.
  std::array<char, 160> tail_{};
};

}  // namespace imapmux::session
