// A fast IMAP server with canned answers, so that a benchmark measures the proxy in front of it.
//
//   fake_backend [PORT]      prints "listening on 127.0.0.1:PORT"; ends on SIGTERM
//
// One thread, epoll, no storage: any user and password log in, every mailbox holds the same ten messages
// whose UIDs equal their numbers, and nothing changes them. What it says is consistent, so that a proxy that
// keeps a table of the mailbox is content.
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "socket.h"

namespace bench {
namespace {

constexpr unsigned kMessages = 10;
constexpr size_t kBodySize = 1024;
constexpr std::string_view kCapabilities =
    "IMAP4rev1 LITERAL+ SASL-IR ID IDLE UNSELECT UIDPLUS NAMESPACE AUTH=PLAIN AUTH=LOGIN";

// Takes the word before the next space off the front.
std::string_view word(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return taken;
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return result;
}

// Numbers of the messages in a sequence set, or UIDs: they are the same here.
template <typename Visit>
void for_each_message(std::string_view set, Visit visit) {
  const auto number = [](std::string_view text) -> unsigned {
    unsigned value = kMessages;  // what "*" means
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  while (!set.empty()) {
    const std::string_view range = set.substr(0, set.find(','));
    set.remove_prefix(std::min(range.size() + 1, set.size()));
    const size_t colon = range.find(':');
    unsigned first = number(range.substr(0, colon));
    unsigned last = colon == std::string_view::npos ? first : number(range.substr(colon + 1));
    if (first > last) std::swap(first, last);
    for (unsigned i = std::max(first, 1U); i <= std::min(last, kMessages); ++i) visit(i);
  }
}

// Size of the literal that a line announces at its end, and whether the client waits for "+".
struct Literal {
  size_t size;
  bool waits;
};
bool announces_literal(std::string_view line, Literal& literal) {
  if (!line.ends_with('}')) return false;
  const size_t open = line.rfind('{');
  if (open == std::string_view::npos) return false;
  literal.waits = !line.ends_with("+}");
  return std::from_chars(line.data() + open + 1, line.data() + line.size(), literal.size).ec == std::errc();
}

class Connection {
 public:
  explicit Connection(Socket socket) : socket_(std::move(socket)) {
    out_ = "* OK [CAPABILITY " + std::string(kCapabilities) + "] fake backend ready\r\n";
  }

  int fd() const { return socket_.fd(); }
  bool wants_write() const { return !out_.empty(); }

  // Both return false when the connection is over.
  bool read() {
    static std::array<char, 65536> buffer;
    const ssize_t count = recv(fd(), buffer.data(), buffer.size(), 0);
    if (count <= 0) return count < 0 && errno == EAGAIN;
    in_.append(buffer.data(), static_cast<size_t>(count));
    take_commands();
    return write();
  }

  bool write() {
    if (!out_.empty()) {
      const ssize_t count = send(fd(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (count < 0) return errno == EAGAIN;
      out_.erase(0, static_cast<size_t>(count));
    }
    return !(closing_ && out_.empty());
  }

 private:
  void take_commands() {
    size_t start = 0;  // of the command
    while (!closing_) {
      const size_t end = in_.find("\r\n", std::max(scanned_, start));
      if (end == std::string::npos) break;
      Literal literal{};
      if (announces_literal(std::string_view(in_).substr(start, end - start), literal)) {
        if (literal.waits) out_ += "+ go on\r\n";
        scanned_ = end + 2 + literal.size;
        if (scanned_ > in_.size()) break;
        continue;
      }
      execute(std::string_view(in_).substr(start, end - start));
      start = scanned_ = end + 2;
    }
    in_.erase(0, start);
    scanned_ -= start;
  }

  void execute(std::string_view line) {
    if (!pending_tag_.empty()) {  // DONE, or the response of AUTHENTICATE
      const std::string tag = std::exchange(pending_tag_, {});
      finish(tag, "OK done");
      return;
    }
    const std::string_view tag = word(line);
    std::string verb = upper(word(line));
    const bool uid = verb == "UID";
    if (uid) verb = upper(word(line));
    if (verb == "FETCH") {
      fetch(line, uid);
    } else if (verb == "STORE") {
      for_each_message(word(line), [&](unsigned i) { untagged_fetch(i, uid, "FLAGS (\\Seen)"); });
    } else if (verb == "SEARCH") {
      search(upper(line));
    } else if (verb == "SELECT" || verb == "EXAMINE") {
      out_ +=
          "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* 10 EXISTS\r\n* 0 RECENT\r\n"
          "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] ok\r\n"
          "* OK [UIDVALIDITY 1] ok\r\n* OK [UIDNEXT 11] ok\r\n";
      finish(tag, verb == "SELECT" ? "OK [READ-WRITE] done" : "OK [READ-ONLY] done");
      return;
    } else if (verb == "STATUS") {
      status(line);
    } else if (verb == "CAPABILITY") {
      out_.append("* CAPABILITY ").append(kCapabilities).append("\r\n");
    } else if (verb == "NAMESPACE") {
      out_ += "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n";
    } else if (verb == "LIST" || verb == "LSUB") {
      out_.append("* ").append(verb).append(" () \"/\" INBOX\r\n");
    } else if (verb == "ID") {
      out_ += "* ID NIL\r\n";
    } else if (verb == "IDLE" || (verb == "AUTHENTICATE" && line.find(' ') == std::string_view::npos)) {
      pending_tag_ = tag;
      out_ += "+ \r\n";
      return;
    } else if (verb == "LOGOUT") {
      out_ += "* BYE see you\r\n";
      closing_ = true;
    }
    finish(tag, "OK done");
  }

  void finish(std::string_view tag, std::string_view text) {
    out_.append(tag).append(" ").append(text).append("\r\n");
  }

  void untagged_fetch(unsigned message, bool uid, std::string_view attributes) {
    const std::string number = std::to_string(message);
    out_.append("* ").append(number).append(" FETCH (");
    if (uid) out_.append("UID ").append(number).append(attributes.empty() ? "" : " ");
    out_.append(attributes).append(")\r\n");
  }

  void fetch(std::string_view arguments, bool uid) {
    const std::string_view set = word(arguments);
    const std::string items = upper(arguments);
    std::string attributes;
    const auto add = [&](std::string_view attribute) {
      attributes.append(attributes.empty() ? "" : " ").append(attribute);
    };
    if (items.find("FLAGS") != std::string::npos) add("FLAGS (\\Seen)");
    if (items.find("RFC822.SIZE") != std::string::npos) add("RFC822.SIZE 1024");
    if (items.find("INTERNALDATE") != std::string::npos) add("INTERNALDATE \"01-Jan-2024 00:00:00 +0000\"");
    if (const size_t section = items.find('['); section != std::string::npos) {
      add("BODY" + items.substr(section, items.find(']') - section + 1) + " {1024}\r\n");
      attributes.append(kBodySize, 'x');
    }
    uid = uid || items.find("UID") != std::string::npos;
    for_each_message(set, [&](unsigned message) { untagged_fetch(message, uid, attributes); });
  }

  // All are seen and none deleted or flagged; other keys find everything.
  void search(const std::string& keys) {
    out_ += "* SEARCH";
    const bool none = keys.ends_with("UNSEEN") || keys == "DELETED" || keys == "FLAGGED" || keys == "RECENT";
    for (unsigned i = 1; !none && i <= kMessages; ++i) out_.append(" ").append(std::to_string(i));
    out_ += "\r\n";
  }

  void status(std::string_view arguments) {
    const size_t open = std::min(arguments.rfind('('), arguments.size());
    std::string_view items = arguments.substr(open);
    out_.append("* STATUS ").append(arguments.substr(0, open)).append("(");
    items.remove_prefix(std::min<size_t>(1, items.size()));
    if (items.ends_with(')')) items.remove_suffix(1);
    while (!items.empty()) {
      const std::string item = upper(word(items));
      const char* value = item == "MESSAGES"      ? "10"
                          : item == "UIDNEXT"     ? "11"
                          : item == "UIDVALIDITY" ? "1"
                                                  : "0";
      out_.append(item).append(" ").append(value).append(items.empty() ? "" : " ");
    }
    out_ += ")\r\n";
  }

  Socket socket_;
  std::string in_;
  size_t scanned_ = 0;  // octets of in_ in which no command ends
  std::string out_;
  std::string pending_tag_;  // of IDLE or AUTHENTICATE: the next line ends it
  bool closing_ = false;
};

class Server {
 public:
  explicit Server(uint16_t port) : listener_(listen_on(port)), poll_(epoll_create1(EPOLL_CLOEXEC)) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    signals_ = Socket(signalfd(-1, &signals, SFD_CLOEXEC));
    control(EPOLL_CTL_ADD, listener_.fd(), EPOLLIN);
    control(EPOLL_CTL_ADD, signals_.fd(), EPOLLIN);
    std::printf("listening on 127.0.0.1:%u\n", port_of(listener_));
    std::fflush(stdout);
  }

  void run() {
    std::array<epoll_event, 256> events;
    while (true) {
      const int count = epoll_wait(poll_.fd(), events.data(), events.size(), -1);
      if (count < 0 && errno != EINTR) die("epoll_wait");
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<size_t>(i)].data.fd;
        if (fd == signals_.fd()) return;
        if (fd == listener_.fd()) {
          accept_all();
        } else {
          serve(fd, events[static_cast<size_t>(i)].events);
        }
      }
    }
  }

 private:
  void control(int operation, int fd, uint32_t wanted) {
    epoll_event event{};
    event.events = wanted;
    event.data.fd = fd;
    if (epoll_ctl(poll_.fd(), operation, fd, &event) != 0) die("epoll_ctl");
  }

  void accept_all() {
    while (true) {
      Socket socket(accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.fd() < 0) return;
      no_delay(socket.fd());
      auto connection = std::make_unique<Connection>(std::move(socket));
      const int fd = connection->fd();
      control(EPOLL_CTL_ADD, fd, EPOLLIN);
      if (connection->write()) connections_.emplace(fd, std::move(connection));
    }
  }

  void serve(int fd, uint32_t events) {
    const auto entry = connections_.find(fd);
    if (entry == connections_.end()) return;
    Connection& connection = *entry->second;
    const bool waited = connection.wants_write();
    bool alive = !(events & EPOLLOUT) || connection.write();
    if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) alive = connection.read();
    if (!alive) {
      connections_.erase(entry);
    } else if (connection.wants_write() != waited) {
      control(EPOLL_CTL_MOD, fd, connection.wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
  }

  Socket listener_;
  Socket poll_;
  Socket signals_;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  bench::Server server(static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0));
  server.run();
}
