// Many IMAP clients in one program, which does what it is told on its standard input, one order a line, and
// answers each with a line of JSON when it is done. So whoever measures can look between any two steps.
//
//   crowd [--tls] PORT
//
//   open COUNT USERS MAILBOX   COUNT further clients log in, as user0 … user(USERS-1) in turn, and SELECT
//                              MAILBOX ("%" in it becomes the client's number)
//   say SECONDS WINDOW TEXT    for so long WINDOW clients at a time wait for the answer to TEXT, in turn
//   idle                       every client begins to IDLE
//   told                       until every client has heard of a new message since `idle` or the last `told`
//   done                       every client ends IDLE
//
// One thread, epoll. Waits are microseconds. Exit status 1 if anything but OK was answered, a connection
// broke, or an order took more than two minutes. It ends with its standard input.
#include <fcntl.h>
#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <deque>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "lines.h"
#include "socket.h"
#include "stream.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTimeLimit = std::chrono::minutes(2);
constexpr size_t kOpenAtOnce = 64;

double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

enum class State : uint8_t { kGreeting, kLogin, kSelect, kReady, kCommand, kIdleAsked, kIdle, kIdleDone };

struct Fault {
  std::string what;
};

Socket connect_to(uint16_t port) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) die("socket");
  const sockaddr_in address = loopback(port);
  if (connect(socket.fd(), generic(address), sizeof address) != 0) die("connect");
  if (fcntl(socket.fd(), F_SETFL, O_NONBLOCK) != 0) die("fcntl");
  // No TIME_WAIT: thousands of clients one after the other would use up the ports.
  const linger at_once{1, 0};
  setsockopt(socket.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  return socket;
}

struct Client {
  Client(uint16_t port, SSL_CTX* tls) : stream(connect_to(port), tls, Role::kClient) {}
  // It is little, and always fits the socket's buffer.
  void say(std::string_view line) {
    if (stream.write(line).count != line.size()) throw Fault{"a write failed"};
  }
  Stream stream;
  Lines lines;
  State state = State::kGreeting;
  std::string user;
  std::string mailbox;
  Clock::time_point since;  // its command was sent
  bool told = false;        // of a new message
};

class Crowd {
 public:
  Crowd(uint16_t port, bool tls) : port_(port), poll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (tls) tls_.reset(SSL_CTX_new(TLS_client_method()));
    if (tls) SSL_CTX_set_session_cache_mode(tls_.get(), SSL_SESS_CACHE_OFF);
  }

  // The answer, without its braces.
  std::string obey(const std::string& order) {
    std::istringstream words(order);
    std::string verb;
    words >> verb;
    const auto begun = Clock::now();
    deadline_ = begun + kTimeLimit;
    if (verb == "open") {
      size_t count = 0;
      size_t users = 0;
      std::string mailbox;
      words >> count >> users >> mailbox;
      open(count, users, mailbox);
    } else if (verb == "say") {
      double seconds = 0;
      size_t window = 0;
      std::string text;
      words >> seconds >> window >> std::ws;
      std::getline(words, text);
      return say(seconds, window, text);
    } else if (verb == "idle") {
      everybody("c IDLE\r\n", State::kIdleAsked);
    } else if (verb == "told") {
      while (told_ < clients_.size()) wait();
      told_ = 0;
      for (const auto& client : clients_) client->told = false;
    } else if (verb == "done") {
      everybody("DONE\r\n", State::kIdleDone);
    } else {
      throw Fault{"unknown order " + order};
    }
    return "\"clients\": " + std::to_string(clients_.size()) +
           ", \"seconds\": " + std::to_string(seconds_since(begun));
  }

 private:
  void open(size_t count, size_t users, const std::string& mailbox) {
    const size_t all = clients_.size() + count;
    while (ready_ < all) {
      while (clients_.size() < all && clients_.size() - ready_ < kOpenAtOnce) open_one(users, mailbox);
      wait();
    }
  }

  void open_one(size_t users, std::string mailbox) {
    const size_t number = clients_.size();
    if (const size_t place = mailbox.find('%'); place != std::string::npos)
      mailbox.replace(place, 1, std::to_string(number));
    auto client = std::make_unique<Client>(port_, tls_.get());
    client->user = "user" + std::to_string(number % users);
    client->mailbox = std::move(mailbox);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = client.get();
    if (epoll_ctl(poll_.fd(), EPOLL_CTL_ADD, client->stream.fd(), &event) != 0) die("epoll_ctl");
    serve(*client);  // begins the handshake
    clients_.push_back(std::move(client));
  }

  // Whoever has waited longest since his last command is the next to send one.
  std::string say(double seconds, size_t window, const std::string& text) {
    line_ = "c " + text + "\r\n";
    waits_.clear();
    resting_.clear();
    for (const auto& client : clients_) resting_.push_back(client.get());
    const auto begun = Clock::now();
    until_ = begun + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    for (size_t i = 0; i < std::min(window, clients_.size()); ++i) send_next();
    while (resting_.size() < clients_.size()) wait();
    const double took = seconds_since(begun);
    std::sort(waits_.begin(), waits_.end());
    const auto quantile = [&](double q) {
      return waits_.empty() ? 0.0
                            : waits_[std::min(static_cast<size_t>(q * static_cast<double>(waits_.size())),
                                              waits_.size() - 1)];
    };
    std::ostringstream answer;
    answer << "\"count\": " << waits_.size() << ", \"seconds\": " << took
           << ", \"per_second\": " << static_cast<double>(waits_.size()) / took
           << ", \"median_us\": " << quantile(0.5) << ", \"p99_us\": " << quantile(0.99);
    return answer.str();
  }

  void send_next() {
    Client& client = *resting_.front();
    resting_.pop_front();
    client.state = State::kCommand;
    client.since = Clock::now();
    client.say(line_);
  }

  // All say so, and answer.
  void everybody(std::string_view line, State asked) {
    told_ = 0;
    awaited_ = clients_.size();
    for (const auto& client : clients_) {
      client->told = false;
      client->state = asked;
      client->say(line);
    }
    while (awaited_ > 0) wait();
  }

  void wait() {
    static std::array<epoll_event, 256> events;
    const int count = epoll_wait(poll_.fd(), events.data(), events.size(), 1000);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    if (Clock::now() > deadline_) throw Fault{"an order took more than two minutes"};
    for (int i = 0; i < count; ++i) serve(*static_cast<Client*>(events[static_cast<size_t>(i)].data.ptr));
  }

  void serve(Client& client) {
    static std::array<char, 65536> buffer;
    while (true) {
      const auto [count, ended] = client.stream.read(buffer);
      if (ended) throw Fault{"a connection ended"};
      if (count == 0) return;
      client.lines.feed({buffer.data(), count}, [&](std::string_view line) { take(client, line); });
    }
  }

  void take(Client& client, std::string_view line) {
    if (line.starts_with("* ") && client.state != State::kGreeting) {
      if (line.starts_with("* BYE")) throw Fault{std::string(line)};
      if (client.state == State::kIdle && line.ends_with(" EXISTS") && !std::exchange(client.told, true))
        ++told_;
      return;
    }
    if (client.state == State::kIdleAsked && line.starts_with("+")) {
      client.state = State::kIdle;
      --awaited_;
      return;
    }
    if (!line.starts_with("c OK") && !line.starts_with("* OK")) throw Fault{std::string(line)};
    switch (client.state) {
      case State::kGreeting:
        client.state = State::kLogin;
        client.say("c LOGIN " + client.user + " secret\r\n");
        break;
      case State::kLogin:
        client.state = State::kSelect;
        client.say("c SELECT " + client.mailbox + "\r\n");
        break;
      case State::kSelect:
        client.state = State::kReady;
        ++ready_;
        break;
      case State::kCommand:
        client.state = State::kReady;
        waits_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - client.since).count());
        resting_.push_back(&client);
        if (Clock::now() < until_) send_next();
        break;
      case State::kIdleDone:
        client.state = State::kReady;
        --awaited_;
        break;
      default:
        throw Fault{"unexpected: " + std::string(line)};
    }
  }

  const uint16_t port_;
  SslContext tls_;
  Socket poll_;
  std::vector<std::unique_ptr<Client>> clients_;
  size_t ready_ = 0;    // have selected their mailbox
  size_t told_ = 0;     // have heard of a new message
  size_t awaited_ = 0;  // have not answered yet
  std::deque<Client*> resting_;
  std::vector<double> waits_;
  std::string line_;
  Clock::time_point until_;
  Clock::time_point deadline_;
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const bool tls = argc > 1 && std::string_view(argv[1]) == "--tls";
  if (argc != (tls ? 3 : 2)) {
    std::fprintf(stderr, "usage: crowd [--tls] PORT\n");
    return 2;
  }
  try {
    bench::Crowd crowd(static_cast<uint16_t>(std::atoi(argv[argc - 1])), tls);
    for (std::string order; std::getline(std::cin, order);)
      std::cout << "{" << crowd.obey(order) << "}" << std::endl;
    return 0;
  } catch (const bench::Fault& fault) {
    std::fprintf(stderr, "crowd: %s\n", fault.what.c_str());
    return 1;
  }
}
