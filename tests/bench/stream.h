// A non-blocking connection of the benchmark's programs, in the clear or through TLS.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cerrno>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "socket.h"

namespace bench {

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslDeleter>;

enum class Role : uint8_t { kClient, kServer };

class Stream {
 public:
  // 0 octets and not ended: later.
  struct Outcome {
    size_t count = 0;
    bool ended = false;
  };

  // Without `tls` in the clear. The handshake goes on within read().
  Stream(Socket socket, SSL_CTX* tls, Role role) : socket_(std::move(socket)) {
    no_delay(fd());
    if (!tls) return;
    ssl_.reset(SSL_new(tls));
    SSL_set_fd(ssl_.get(), fd());
    SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    // Without a close_notify OpenSSL takes a session for one that must not be resumed; many servers send
    // none.
    SSL_set_quiet_shutdown(ssl_.get(), 1);
    SSL_set_options(ssl_.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (role == Role::kClient) {
      SSL_set_connect_state(ssl_.get());
    } else {
      SSL_set_accept_state(ssl_.get());
    }
  }
  Stream(Stream&&) = default;
  ~Stream() {
    if (ssl_) SSL_shutdown(ssl_.get());
  }

  int fd() const { return socket_.fd(); }
  SSL* ssl() const { return ssl_.get(); }

  Outcome read(std::span<char> buffer) {
    if (!ssl_) {
      const ssize_t count = recv(fd(), buffer.data(), buffer.size(), 0);
      return {count > 0 ? static_cast<size_t>(count) : 0, count == 0 || (count < 0 && errno != EAGAIN)};
    }
    ERR_clear_error();  // SSL_get_error() looks at what other connections left behind, too
    return through_tls(SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size())));
  }

  Outcome write(std::string_view octets) {
    if (!ssl_) {
      const ssize_t count = send(fd(), octets.data(), octets.size(), MSG_NOSIGNAL);
      return {count > 0 ? static_cast<size_t>(count) : 0, count < 0 && errno != EAGAIN};
    }
    ERR_clear_error();
    return through_tls(SSL_write(ssl_.get(), octets.data(), static_cast<int>(octets.size())));
  }

 private:
  Outcome through_tls(int count) {
    if (count > 0) return {static_cast<size_t>(count), false};
    const int error = SSL_get_error(ssl_.get(), count);
    return {0, error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE};
  }

  Socket socket_;
  std::unique_ptr<SSL, SslDeleter> ssl_;
};

}  // namespace bench
