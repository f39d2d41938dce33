// Loads an IMAP server or proxy on loopback, bounded in count and time, and prints one line of JSON.
//
//   load_generator command PORT COUNT [CONNECTIONS [TEXT]]   logged in and in INBOX, each connection sends
//   TEXT (NOOP)
//                                                            and waits for its answer, COUNT commands in all
//   load_generator login   PORT COUNT [CONNECTIONS]          COUNT sessions: connect, LOGIN, LOGOUT
//
// Options in front: --tls (from the first octet; certificates are not verified), --users N (names user0 …,
// 200). One thread, epoll. Waits are microseconds; a login's wait is from connect to the answer to LOGIN.
// Exit status 1 if anything but OK was answered, a connection broke, or not all was done within a minute.
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "socket.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTimeLimit = std::chrono::seconds(60);

struct Options {
  bool logins = false;
  bool tls = false;
  uint16_t port = 0;
  size_t count = 1000;
  size_t connections = 16;
  size_t users = 200;
  std::string command = "NOOP";
};

struct Fault {
  std::string what;
};

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

// A non-blocking stream, in the clear or through TLS. What is written is small and always fits the socket's
// buffer.
class Stream {
 public:
  Stream(Socket socket, SSL_CTX* tls) : socket_(std::move(socket)) {
    if (!tls) return;
    ssl_.reset(SSL_new(tls));
    SSL_set_fd(ssl_.get(), socket_.fd());
    SSL_set_connect_state(ssl_.get());
  }
  int fd() const { return socket_.fd(); }

  // Begins the handshake, which then goes on within read().
  void start() {
    if (ssl_) SSL_do_handshake(ssl_.get());
  }

  // Octets read; 0 when there are none now; throws at the end of the connection unless `end_is_fine`.
  size_t read(char* buffer, size_t size, bool end_is_fine, bool& ended) {
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
    if (later) return 0;
    if (!end_is_fine) throw Fault{"the connection ended"};
    ended = true;
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
  template <typename Visit>
  void feed(std::string_view octets, Visit visit) {
    pending_.append(octets);
    size_t start = 0;
    while (true) {
      if (literal_ > 0) {
        const size_t passed = std::min(literal_, pending_.size() - start);
        start += passed;
        literal_ -= passed;
      }
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
  }

 private:
  std::string pending_;
  size_t literal_ = 0;
};

enum class State : uint8_t { kGreeting, kLogin, kSelect, kCommands, kLogout };

struct Session {
  Session(Socket socket, SSL_CTX* tls) : stream(std::move(socket), tls) {}
  Stream stream;
  Lines lines;
  State state = State::kGreeting;
  Clock::time_point since;  // of the command or login being measured
};

class Generator {
 public:
  explicit Generator(Options options) : options_(std::move(options)), poll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (options_.tls) {
      tls_.reset(SSL_CTX_new(TLS_client_method()));
      SSL_CTX_set_session_cache_mode(tls_.get(), SSL_SESS_CACHE_OFF);  // each login pays its full handshake
    }
    line_ = "c " + options_.command + "\r\n";
    waits_.reserve(options_.count);
  }

  void run() {
    const auto deadline = Clock::now() + kTimeLimit;
    begun_ = Clock::now();
    for (size_t i = 0; i < std::min(options_.connections, options_.count); ++i) open();
    std::array<epoll_event, 64> events;
    while (waits_.size() < options_.count || sessions_ > 0) {
      const int count = epoll_wait(poll_.fd(), events.data(), events.size(), 1000);
      if (count < 0 && errno != EINTR) die("epoll_wait");
      if (Clock::now() > deadline) throw Fault{"not done within a minute"};
      for (int i = 0; i < count; ++i) serve(static_cast<Session*>(events[static_cast<size_t>(i)].data.ptr));
      if (!options_.logins && waits_.size() >= options_.count) break;
    }
    ended_ = Clock::now();
  }

  void print() {
    std::sort(waits_.begin(), waits_.end());
    const double seconds = std::chrono::duration<double>(ended_ - begun_).count();
    std::printf(
        "{\"count\": %zu, \"seconds\": %.4f, \"per_second\": %.0f, \"median_us\": %.1f, \"p99_us\": %.1f, "
        "\"longest_us\": %.1f}\n",
        waits_.size(), seconds, static_cast<double>(waits_.size()) / seconds, quantile(0.5), quantile(0.99),
        quantile(1));
  }

 private:
  double quantile(double q) const {
    const auto index = static_cast<size_t>(q * static_cast<double>(waits_.size()));
    return waits_.empty() ? 0 : waits_[std::min(index, waits_.size() - 1)];
  }

  void open() {
    Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket.fd() < 0) die("socket");
    const auto begun = Clock::now();
    const sockaddr_in address = loopback(options_.port);
    if (connect(socket.fd(), generic(address), sizeof address) != 0) die("connect");
    if (fcntl(socket.fd(), F_SETFL, O_NONBLOCK) != 0) die("fcntl");
    no_delay(socket.fd());
    auto session = std::make_unique<Session>(std::move(socket), tls_.get());
    session->since = begun;
    session->stream.start();
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = session.get();
    if (epoll_ctl(poll_.fd(), EPOLL_CTL_ADD, session->stream.fd(), &event) != 0) die("epoll_ctl");
    owned_.push_back(std::move(session));
    ++sessions_;
    ++opened_;
  }

  void serve(Session* session) {
    static std::array<char, 65536> buffer;
    bool ended = false;
    while (const size_t count =
               session->stream.read(buffer.data(), buffer.size(), session->state == State::kLogout, ended)) {
      session->lines.feed({buffer.data(), count}, [&](std::string_view line) { take(*session, line); });
    }
    if (ended) close(session);
  }

  void take(Session& session, std::string_view line) {
    const bool greeting = session.state == State::kGreeting && line.starts_with("* OK");
    if (!greeting && !line.starts_with("c ")) {
      if (line.starts_with("* BYE") && session.state != State::kLogout) throw Fault{std::string(line)};
      return;
    }
    if (!greeting && !line.starts_with("c OK")) throw Fault{std::string(line)};
    switch (session.state) {
      case State::kGreeting: {
        const std::string user = "user" + std::to_string(user_++ % options_.users);
        session.state = State::kLogin;
        session.stream.write("c LOGIN " + user + " secret\r\n");
        break;
      }
      case State::kLogin:
        if (options_.logins) {
          measured(session);
          session.state = State::kLogout;
          session.stream.write("c LOGOUT\r\n");
        } else {
          session.state = State::kSelect;
          session.stream.write("c SELECT INBOX\r\n");
        }
        break;
      case State::kSelect:
        session.state = State::kCommands;
        if (++ready_ == sessions_) start_commands();
        break;
      case State::kCommands:
        measured(session);
        if (sent_ < options_.count) send_command(session);
        break;
      case State::kLogout:
        break;  // the server closes
    }
  }

  // All connections begin together: what came before is not measured.
  void start_commands() {
    begun_ = Clock::now();
    for (const auto& session : owned_) send_command(*session);
  }

  void send_command(Session& session) {
    session.since = Clock::now();
    session.stream.write(line_);
    ++sent_;
  }

  void measured(const Session& session) {
    waits_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - session.since).count());
  }

  void close(Session* session) {
    std::erase_if(owned_, [&](const auto& owned) { return owned.get() == session; });
    --sessions_;
    if (opened_ < options_.count) open();
  }

  Options options_;
  Socket poll_;
  std::unique_ptr<SSL_CTX, SslDeleter> tls_;
  std::string line_;
  std::vector<std::unique_ptr<Session>> owned_;
  std::vector<double> waits_;
  size_t sessions_ = 0;
  size_t opened_ = 0;
  size_t user_ = 0;
  size_t ready_ = 0;
  size_t sent_ = 0;
  Clock::time_point begun_;
  Clock::time_point ended_;
};

size_t number(std::string_view text) {
  size_t value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc() || value == 0)
    throw Fault{"not a number: " + std::string(text)};
  return value;
}

Options parse(std::vector<std::string_view> arguments) {
  Options options;
  while (!arguments.empty() && arguments[0].starts_with("--")) {
    if (arguments[0] == "--tls") {
      options.tls = true;
    } else if (arguments[0] == "--users" && arguments.size() > 1) {
      options.users = number(arguments[1]);
      arguments.erase(arguments.begin());
    } else {
      throw Fault{"unknown option " + std::string(arguments[0])};
    }
    arguments.erase(arguments.begin());
  }
  if (arguments.size() < 3)
    throw Fault{"usage: load_generator [--tls] [--users N] command|login PORT COUNT [CONNECTIONS [TEXT]]"};
  options.logins = arguments[0] == "login";
  options.port = static_cast<uint16_t>(number(arguments[1]));
  options.count = number(arguments[2]);
  if (arguments.size() > 3) options.connections = number(arguments[3]);
  if (arguments.size() > 4) options.command = arguments[4];
  return options;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    bench::Generator generator(bench::parse({argv + 1, argv + argc}));
    generator.run();
    generator.print();
    return 0;
  } catch (const bench::Fault& fault) {
    std::fprintf(stderr, "load_generator: %s\n", fault.what.c_str());
    return 1;
  }
}
