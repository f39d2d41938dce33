// Loads an IMAP server or proxy on loopback, bounded in count and time, and prints one line of JSON.
//
//   load_generator [OPTIONS] command PORT COUNT [CONNECTIONS [TEXT]]   logged in and in INBOX, each
//   connection
//       sends TEXT (NOOP) and waits for its answer, COUNT commands in all
//   load_generator [OPTIONS] login PORT COUNT [CONNECTIONS]   COUNT sessions: connect, LOGIN, LOGOUT
//   load_generator [OPTIONS] idle PORT COUNT                  COUNT sessions that sit in INBOX in IDLE
//
//   --tls            from the first octet; certificates are not verified
//   --resume         with TLS: each connection resumes the session of an earlier one
//   --seconds S      ends earlier than COUNT; what is under way is waited for
//   --depth N        commands in flight on each connection (1)
//   --users N        the sessions log in as N users in turn (200)
//   --first-user N   these are user<N> and those after it (0)
//   --warm-up N      N logins before the measured ones
//   --stepwise       prints "ready" when the measured part is about to begin, and waits for a line or the end
//   of
//                    stdin then, and once more before the connections are closed
//
// One thread, epoll. Waits are microseconds; a login's wait is from connect to the answer to LOGIN, and
// `late` is the share of waits that a delayed acknowledgement explains. Exit status 1 if anything but OK was
// answered, a connection broke, or a part was not done within a minute.
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lines.h"
#include "socket.h"
#include "stream.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTimeLimit = std::chrono::seconds(60);
constexpr size_t kOpenAtATime = 4;  // up-imapproxy's listen backlog is 5
constexpr double kLate = 35e3;      // Linux delays acknowledgements by 40 ms

enum class Work : uint8_t { kCommands, kLogins, kIdle };

struct Options {
  Work work = Work::kCommands;
  bool tls = false;
  bool resume = false;
  bool stepwise = false;
  uint16_t port = 0;
  size_t count = 1000;
  size_t connections = 16;
  size_t depth = 1;
  size_t users = 200;
  size_t first_user = 0;
  size_t warm_up = 0;
  double seconds = 0;
  std::string command = "NOOP";
};

struct Fault {
  std::string what;
};

enum class State : uint8_t { kConnect, kGreeting, kLogin, kSelect, kReady, kLogout };

struct Session {
  Session(Socket socket, SSL_CTX* tls, size_t depth)
      : stream(std::move(socket), tls, Role::kClient), sent_at(depth, Clock::now()) {}
  Stream stream;
  Lines lines;
  State state = State::kConnect;
  std::string out;
  std::vector<Clock::time_point> sent_at;  // a ring: of the login, or of the commands in flight
  size_t sent = 0;
  size_t answered = 0;
};

class Generator {
 public:
  explicit Generator(Options options) : options_(std::move(options)), poll_(epoll_create1(EPOLL_CLOEXEC)) {
    line_ = "c " + options_.command + "\r\n";
    if (options_.tls) make_context();
  }
  void run() {
    switch (options_.work) {
      case Work::kLogins:
        if (options_.warm_up > 0) run_logins(options_.warm_up, Clock::time_point::max());
        waits_.clear();
        step();
        begin();
        run_logins(options_.count, stop_at_);
        break;
      case Work::kCommands:
        open_sessions(options_.connections);
        step();
        begin();
        run_commands();
        break;
      case Work::kIdle:
        begin();
        open_sessions(options_.count);
        break;
    }
    ended_ = Clock::now();
    if (options_.work == Work::kIdle) {
      step();
      return;
    }
    print();
    if (options_.stepwise) wait_for_line();
  }

 private:
  void make_context() {
    tls_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_app_data(tls_.get(), this);
    // The same for all servers.
    SSL_CTX_set_ciphersuites(tls_.get(), "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_cipher_list(tls_.get(), "ECDHE-ECDSA-AES128-GCM-SHA256");
    if (!options_.resume) {
      SSL_CTX_set_session_cache_mode(tls_.get(), SSL_SESS_CACHE_OFF);  // each login pays its full handshake
      return;
    }
    SSL_CTX_set_session_cache_mode(tls_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls_.get(), [](SSL* ssl, SSL_SESSION* session) {
      static_cast<Generator*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->tickets_.emplace_back(session);
      return 1;  // it is ours now
    });
  }

  // What is measured begins behind this.
  void step() const {
    if (!options_.stepwise && options_.work != Work::kIdle) return;
    std::puts("ready");
    std::fflush(stdout);
    wait_for_line();
  }
  static void wait_for_line() {
    for (int c = 0; c != EOF && c != '\n';) c = std::getchar();
  }

  void begin() {
    begun_ = Clock::now();
    stop_at_ = options_.seconds > 0 ? begun_ + std::chrono::duration_cast<Clock::duration>(
                                                   std::chrono::duration<double>(options_.seconds))
                                    : Clock::time_point::max();
  }

  template <typename Done>
  void loop_until(Done done) {
    const auto deadline = Clock::now() + kTimeLimit;
    std::array<epoll_event, 64> events;
    while (!done()) {
      const int count = epoll_wait(poll_.fd(), events.data(), events.size(), 1000);
      if (count < 0 && errno != EINTR) die("epoll_wait");
      if (Clock::now() > deadline) throw Fault{"not done within a minute"};
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<size_t>(i)];
        serve(static_cast<Session*>(event.data.ptr), event.events);
      }
    }
  }

  void run_logins(size_t count, Clock::time_point stop) {
    size_t opened = 0;
    loop_until([&] {
      while (opened < count && owned_.size() < options_.connections && Clock::now() < stop) {
        open();
        ++opened;
      }
      return owned_.empty();
    });
  }

  void open_sessions(size_t count) {
    loop_until([&] {
      while (owned_.size() < count && owned_.size() - ready_ < kOpenAtATime) open();
      return ready_ == count;
    });
  }

  void run_commands() {
    waits_.reserve(std::min(options_.count, size_t{1} << 20));
    for (const auto& session : owned_) {
      for (size_t i = 0; i < options_.depth; ++i) issue(*session);
      flush(*session);
    }
    loop_until([&] { return waits_.size() == issued_; });
  }

  void open() {
    Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.fd() < 0) die("socket");
    const sockaddr_in address = loopback(options_.port);
    if (connect(socket.fd(), generic(address), sizeof address) != 0 && errno != EINPROGRESS) die("connect");
    auto session = std::make_unique<Session>(std::move(socket), tls_.get(), options_.depth);
    if (!tickets_.empty()) {  // each serves once (RFC 8446, C.4)
      SSL_set_session(session->stream.ssl(), tickets_.back().get());
      tickets_.pop_back();
    }
    watch(*session, EPOLL_CTL_ADD, EPOLLOUT);
    owned_.push_back(std::move(session));
  }

  void watch(Session& session, int operation, uint32_t wanted) const {
    epoll_event event{};
    event.events = wanted;
    event.data.ptr = &session;
    if (epoll_ctl(poll_.fd(), operation, session.stream.fd(), &event) != 0) die("epoll_ctl");
  }

  void serve(Session* session, uint32_t events) {
    static std::array<char, 262144> buffer;
    if (session->state == State::kConnect) {
      if (events & EPOLLERR) throw Fault{"connection refused"};
      session->state = State::kGreeting;
      watch(*session, EPOLL_CTL_MOD, EPOLLIN);
    }
    while (true) {
      const Stream::Outcome outcome = session->stream.read(buffer);
      if (outcome.ended) {
        if (session->state != State::kLogout) throw Fault{"the connection ended"};
        std::erase_if(owned_, [&](const auto& owned) { return owned.get() == session; });
        return;
      }
      session->lines.feed({buffer.data(), outcome.count},
                          [&](std::string_view line) { take(*session, line); });
      flush(*session);
      if (outcome.count == 0 || (outcome.count < buffer.size() && !session->stream.ssl())) return;
    }
  }

  void take(Session& session, std::string_view line) {
    const bool greeting = session.state == State::kGreeting && line.starts_with("* OK");
    const bool idling = session.state == State::kSelect && line.starts_with("+");
    if (!greeting && !idling && !line.starts_with("c ")) {
      if (line.starts_with("* BYE") && session.state != State::kLogout) throw Fault{std::string(line)};
      return;
    }
    if (!greeting && !idling && !line.starts_with("c OK")) throw Fault{std::string(line)};
    switch (session.state) {
      case State::kGreeting:
        session.state = State::kLogin;
        session.out +=
            "c LOGIN user" + std::to_string(options_.first_user + user_++ % options_.users) + " secret\r\n";
        if (SSL* ssl = session.stream.ssl()) {
          if (SSL_session_reused(ssl)) ++resumed_;
          protocol_ = SSL_get_version(ssl);
        }
        break;
      case State::kLogin:
        if (options_.work == Work::kLogins) {
          measured(session);
          session.state = State::kLogout;
          session.out += "c LOGOUT\r\n";
        } else {
          session.state = State::kSelect;
          session.out += "c SELECT INBOX\r\n";
        }
        break;
      case State::kSelect:
        if (options_.work == Work::kIdle && !idling) {
          session.out += "c IDLE\r\n";
          break;
        }
        session.state = State::kReady;
        ++ready_;
        break;
      case State::kReady:
        measured(session);
        issue(session);
        break;
      case State::kConnect:
      case State::kLogout:
        break;  // the server closes
    }
  }

  void issue(Session& session) {
    const auto now = Clock::now();
    if (issued_ == options_.count || now >= stop_at_) return;
    ++issued_;
    session.sent_at[session.sent++ % options_.depth] = now;
    session.out += line_;
  }

  // What is sent is small and fits the socket's buffer.
  static void flush(Session& session) {
    if (session.out.empty()) return;
    if (session.stream.write(session.out).count != session.out.size()) throw Fault{"a write failed"};
    session.out.clear();
  }

  void measured(Session& session) {
    const auto since = session.sent_at[session.answered++ % options_.depth];
    waits_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - since).count());
  }

  double quantile(double q) const {
    const auto index = static_cast<size_t>(q * static_cast<double>(waits_.size()));
    return waits_.empty() ? 0 : waits_[std::min(index, waits_.size() - 1)];
  }

  void print() {
    std::sort(waits_.begin(), waits_.end());
    const auto late = waits_.end() - std::upper_bound(waits_.begin(), waits_.end(), kLate);
    const auto count = static_cast<double>(waits_.size());
    const double seconds = std::chrono::duration<double>(ended_ - begun_).count();
    std::printf(
        "{\"count\": %zu, \"seconds\": %.4f, \"per_second\": %.1f, \"median_us\": %.1f, \"p99_us\": %.1f, "
        "\"longest_us\": %.1f, \"late\": %.4f, \"resumed\": %zu, \"protocol\": \"%s\"}\n",
        waits_.size(), seconds, count / seconds, quantile(0.5), quantile(0.99), quantile(1),
        static_cast<double>(late) / std::max(count, 1.0), resumed_, protocol_);
    std::fflush(stdout);
  }

  Options options_;
  Socket poll_;
  SslContext tls_;
  std::vector<std::unique_ptr<SSL_SESSION, SslDeleter>> tickets_;
  std::string line_;
  std::vector<std::unique_ptr<Session>> owned_;
  std::vector<double> waits_;
  size_t user_ = 0;
  size_t ready_ = 0;
  size_t issued_ = 0;
  size_t resumed_ = 0;
  const char* protocol_ = "";
  Clock::time_point begun_;
  Clock::time_point stop_at_ = Clock::time_point::max();
  Clock::time_point ended_;
};

template <typename Number>
Number number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw Fault{"not a number: " + std::string(text)};
  return value;
}

class ArgumentReader {
 public:
  ArgumentReader(int argc, char** argv) : rest_(argv + 1, argv + argc) {}
  bool at_option() const { return !rest_.empty() && rest_.front().starts_with("--"); }
  bool empty() const { return rest_.empty(); }
  std::string_view next() {
    if (rest_.empty())
      throw Fault{"usage: load_generator [OPTIONS] command|login|idle PORT COUNT [CONNECTIONS [TEXT]]"};
    const std::string_view taken = rest_.front();
    rest_.erase(rest_.begin());
    return taken;
  }

 private:
  std::vector<std::string_view> rest_;
};

void read_option(ArgumentReader& arguments, Options& options) {
  const std::string_view name = arguments.next();
  if (name == "--tls") {
    options.tls = true;
  } else if (name == "--resume") {
    options.resume = true;
  } else if (name == "--stepwise") {
    options.stepwise = true;
  } else if (name == "--seconds") {
    options.seconds = number<double>(arguments.next());
  } else if (name == "--depth") {
    options.depth = std::max(number<size_t>(arguments.next()), size_t{1});
  } else if (name == "--users") {
    options.users = std::max(number<size_t>(arguments.next()), size_t{1});
  } else if (name == "--first-user") {
    options.first_user = number<size_t>(arguments.next());
  } else if (name == "--warm-up") {
    options.warm_up = number<size_t>(arguments.next());
  } else {
    throw Fault{"unknown option " + std::string(name)};
  }
}

Work work_named(std::string_view name) {
  if (name == "command") return Work::kCommands;
  if (name == "login") return Work::kLogins;
  if (name == "idle") return Work::kIdle;
  throw Fault{"no such work: " + std::string(name)};
}

Options parse(ArgumentReader arguments) {
  Options options;
  while (arguments.at_option()) read_option(arguments, options);
  options.work = work_named(arguments.next());
  options.port = number<uint16_t>(arguments.next());
  options.count = number<size_t>(arguments.next());
  if (!arguments.empty()) options.connections = number<size_t>(arguments.next());
  if (!arguments.empty()) options.command = arguments.next();
  return options;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  try {
    bench::Generator generator(bench::parse({argc, argv}));
    generator.run();
    return 0;
  } catch (const bench::Fault& fault) {
    std::fprintf(stderr, "load_generator: %s\n", fault.what.c_str());
    return 1;
  }
}
