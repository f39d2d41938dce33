// What a client of a benchmark reads and writes through: a non-blocking stream, in the clear or through TLS,
// and the lines that come from it.
#pragma once

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "socket.h"

namespace bench {

struct Fault {
  std::string what;
};

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, SslDeleter>;

// What is written is small and always fits the socket's buffer.
class ClientStream {
 public:
  // Connects to loopback. `tls` may be null; else the handshake begins here and goes on within read().
  ClientStream(uint16_t port, SSL_CTX* tls) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in address = loopback(port);
    if (socket_.fd() < 0) die("socket");
    if (connect(socket_.fd(), generic(address), sizeof address) != 0) die("connect");
    if (fcntl(socket_.fd(), F_SETFL, O_NONBLOCK) != 0) die("fcntl");
    no_delay(socket_.fd());
    // No TIME_WAIT: thousands of clients one after the other would use up the ports.
    const linger at_once{1, 0};
    setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (!tls) return;
    ssl_.reset(SSL_new(tls));
    SSL_set_fd(ssl_.get(), socket_.fd());
    SSL_set_connect_state(ssl_.get());
    SSL_do_handshake(ssl_.get());
  }
  int fd() const { return socket_.fd(); }

  // Octets read; 0 when there are none now. Throws at the end of the connection.
  size_t read(char* buffer, size_t size) {
    ssize_t count = 0;
    bool later = false;
    if (ssl_) {
      ERR_clear_error();
      count = SSL_read(ssl_.get(), buffer, static_cast<int>(size));
      later = count <= 0 && SSL_get_error(ssl_.get(), static_cast<int>(count)) == SSL_ERROR_WANT_READ;
    } else {
      count = recv(fd(), buffer, size, 0);
      later = count < 0 && errno == EAGAIN;
    }
    if (count > 0) return static_cast<size_t>(count);
    if (!later) throw Fault{"the connection ended"};
    return 0;
  }

  void write(std::string_view octets) {
    const ssize_t count = ssl_ ? SSL_write(ssl_.get(), octets.data(), static_cast<int>(octets.size()))
                               : send(fd(), octets.data(), octets.size(), MSG_NOSIGNAL);
    if (count != static_cast<ssize_t>(octets.size())) throw Fault{"a write failed"};
  }

 private:
  Socket socket_;
  std::unique_ptr<SSL, SslDeleter> ssl_;
};

// Cuts what arrives into lines, literals passed over.
class Lines {
 public:
  // `visit` gets each line without its end.
  template <typename Visit>
  void feed(std::string_view octets, Visit visit) {
    pending_.append(octets);
    size_t start = 0;
    while (true) {
      const size_t passed = std::min(literal_, pending_.size() - start);
      start += passed;
      literal_ -= passed;
      const size_t end = literal_ > 0 ? std::string::npos : pending_.find("\r\n", start);
      if (end == std::string::npos) break;
      const std::string_view line = std::string_view(pending_).substr(start, end - start);
      start = end + 2;
      if (line.ends_with('}')) {
        const size_t open = line.rfind('{');
        std::from_chars(line.data() + open + 1, line.data() + line.size() - 1, literal_);
      }
      visit(line);
    }
    pending_.erase(0, start);
    if (pending_.empty() && pending_.capacity() > kKept) pending_.shrink_to_fit();
  }

 private:
  static constexpr size_t kKept = 4096;
  std::string pending_;
  size_t literal_ = 0;
};

}  // namespace bench
