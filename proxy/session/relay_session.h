// `unrestricted`: after login the octets go both ways untouched. A plain callback object, no coroutine per
// direction. Owned by its ClientSession, on its thread.
#pragma once

#include <array>
#include <string>

#include "session/client_session.h"

namespace imapmux::session {

class RelaySession final : public AfterLogin, private net::StreamHandler {
 public:
  // `tag`: of the login, which is answered when the relay begins.
  RelaySession(ClientSession& client, Seat seat, std::string tag);

  async::Task<> serve() override;
  async::Task<> finish() override;
  void on_client_octets(std::string_view octets) noexcept override;
  void on_client_eof() noexcept override;
  void on_client_drained() noexcept override;
  void on_shut_down() noexcept override;
  bool may_speak() const override;

 private:
  void on_data(std::string_view chunk) noexcept override;
  void on_spliced(size_t octets) noexcept override;
  void on_eof() noexcept override;
  void on_lost(const std::string& reason) noexcept override;
  void on_drained() noexcept override;
  void begin();
  void heard();
  void to_client(std::string_view octets);
  void to_backend(std::string_view octets);
  void remember(std::string_view octets);
  bool was_told_bye() const;

  ClientSession& client_;
  Seat seat_;
  std::string tag_;
  backend::ConnectionLimit::Permit permit_;
  backend::UsersThere::Stay stay_;
  std::shared_ptr<backend::BackendServers::Server> server_;
  std::unique_ptr<net::Stream> backend_;
  async::Event ended_;
  async::Event backend_closed_;
  bool finishing_ = false;
  std::string backend_problem_;
  // The last octets that the client got: whether it is between responses, and was told BYE already.
  std::array<char, 160> tail_{};
  size_t tail_size_ = 0;
};

}  // namespace imapmux::session
