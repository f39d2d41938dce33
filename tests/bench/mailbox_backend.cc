// A fast IMAP server with one large mailbox under every name, which gets and loses messages when it is told
// so, and tells those who IDLE at once.
//
//   mailbox_backend PORT MESSAGES GAP      GAP 1: UIDs without gaps; 3: every third UID is there
//
// Orders on standard input, one a line, each answered with a line of JSON:
//   deliver          every mailbox gets one message
//   expunge COUNT    every second message from the beginning on is expunged, COUNT in all
//   idling           how many sessions are in IDLE
//
// One thread, epoll, no storage: any user and password log in; all messages are \Seen. Mailboxes differ in
// their UIDVALIDITY only. What it says is consistent, so that a proxy with a table of the mailbox is content.
// It knows what a proxy in `shared` mode asks, and literals in no command. Ends with its standard input.

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "poll.h"
#include "socket.h"
#include "words.h"

namespace bench {
namespace {

constexpr std::string_view kCapabilities = "IMAP4rev1 SASL-IR ID IDLE UNSELECT UIDPLUS NAMESPACE AUTH=PLAIN";

// What all mailboxes hold, and all that has happened to it.
class Mailbox {
 public:
  Mailbox(uint32_t messages, uint32_t gap) : gap_(gap) {
    for (uint32_t i = 0; i < messages; ++i) uids_.push_back(std::exchange(next_, next_ + gap_));
  }

  void deliver() {
    uids_.push_back(std::exchange(next_, next_ + gap_));
    events_.push_back("* " + std::to_string(uids_.size()) + " EXISTS\r\n");
  }
  void expunge(uint32_t count) {
    for (uint32_t number = 1; number <= count && number <= uids_.size(); ++number) {
      uids_.erase(uids_.begin() + number - 1);
      events_.push_back("* " + std::to_string(number) + " EXPUNGE\r\n");
    }
  }
  const std::vector<uint32_t>& uids() const { return uids_; }
  uint32_t next() const { return next_; }
  const std::vector<std::string>& events() const { return events_; }

 private:
  const uint32_t gap_;
  uint32_t next_ = 1;
  std::vector<uint32_t> uids_;  // ascending
  std::vector<std::string> events_;
};

// A session gets its mailbox's news with the answer to any command, as UID commands and NOOP allow.
class Session {
 public:
  Session(Socket socket, const Mailbox& mailbox) : socket_(std::move(socket)), mailbox_(mailbox) {
    out_ = "* OK [CAPABILITY " + std::string(kCapabilities) + "] mailbox backend ready\r\n";
  }

  int fd() const { return socket_.fd(); }
  bool wants_write() const { return !out_.empty(); }
  bool idling() const { return !idle_tag_.empty(); }

  // All return false when the connection is over.
  bool read() {
    static std::array<char, 65536> buffer;
    const ssize_t count = recv(fd(), buffer.data(), buffer.size(), 0);
    if (count <= 0) return count < 0 && errno == EAGAIN;
    in_.append(buffer.data(), static_cast<size_t>(count));
    size_t start = 0;
    for (size_t end = 0; (end = in_.find("\r\n", start)) != std::string::npos; start = end + 2)
      execute(std::string_view(in_).substr(start, end - start));
    in_.erase(0, start);
    return write();
  }
  bool write() {
    if (!out_.empty()) {
      const ssize_t count = send(fd(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (count < 0) return errno == EAGAIN;
      out_.erase(0, static_cast<size_t>(count));
      if (out_.empty()) out_.shrink_to_fit();
    }
    return !(closing_ && out_.empty());
  }
  bool push() {
    tell();
    return write();
  }

 private:
  void tell() {
    if (!selected_) return;
    for (; told_ < mailbox_.events().size(); ++told_) out_ += mailbox_.events()[told_];
  }

  void execute(std::string_view line) {
    if (idling()) {  // DONE
      finish(std::exchange(idle_tag_, {}), "OK done");
      return;
    }
    const std::string_view tag = word(line);
    std::string verb = upper(word(line));
    if (verb == "UID") verb += " " + upper(word(line));
    if (verb == "LOGIN") {
      user_ = word(line);
    } else if (verb == "SELECT" || verb == "EXAMINE") {
      select(line);
      finish(tag, verb == "SELECT" ? "OK [READ-WRITE] done" : "OK [READ-ONLY] done");
      return;
    } else if (verb == "UID FETCH") {
      tell();
      fetch(word(line), upper(line));
    } else if (verb == "UID SEARCH") {
      tell();
      out_ += "* SEARCH";
      for (const uint32_t uid : mailbox_.uids()) out_.append(" ").append(std::to_string(uid));
      out_ += "\r\n";
    } else if (verb == "IDLE") {
      idle_tag_ = tag;
      out_ += "+ idling\r\n";
      tell();
      return;
    } else if (verb == "UNSELECT" || verb == "CLOSE") {
      selected_ = false;
    } else if (verb == "CAPABILITY") {
      out_.append("* CAPABILITY ").append(kCapabilities).append("\r\n");
    } else if (verb == "LIST") {
      out_ += "* LIST (\\Noselect) \"/\" \"\"\r\n";
    } else if (verb == "NAMESPACE") {
      out_ += "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n";
    } else if (verb == "LOGOUT") {
      out_ += "* BYE see you\r\n";
      closing_ = true;
    } else if (verb != "NOOP" && verb != "CHECK" && verb != "ID") {
      finish(tag, "BAD not known to this server");
      return;
    }
    tell();
    finish(tag, "OK done");
  }

  void finish(std::string_view tag, std::string_view text) {
    out_.append(tag).append(" ").append(text).append("\r\n");
  }

  void select(std::string_view name) {
    const auto identity = std::hash<std::string>()(user_ + " " + std::string(name)) % 1'000'000 + 1;
    selected_ = true;
    told_ = mailbox_.events().size();
    out_ += "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* 0 RECENT\r\n";
    out_ += "* " + std::to_string(mailbox_.uids().size()) + " EXISTS\r\n";
    out_ += "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] ok\r\n";
    out_ += "* OK [UIDVALIDITY " + std::to_string(identity) + "] ok\r\n";
    out_ += "* OK [UIDNEXT " + std::to_string(mailbox_.next()) + "] ok\r\n";
  }

  void fetch(std::string_view set, const std::string& items) {
    const auto& uids = mailbox_.uids();
    const std::string flags = items.find("FLAGS") == std::string::npos ? "" : " FLAGS (\\Seen)";
    const auto number = [&](std::string_view text) {
      uint32_t value = uids.empty() ? 0 : uids.back();  // "*"
      std::from_chars(text.data(), text.data() + text.size(), value);
      return value;
    };
    while (!set.empty()) {
      const std::string_view range = set.substr(0, set.find(','));
      set.remove_prefix(std::min(range.size() + 1, set.size()));
      const size_t colon = range.find(':');
      uint32_t first = number(range.substr(0, colon));
      uint32_t last = colon == std::string_view::npos ? first : number(range.substr(colon + 1));
      if (first > last) std::swap(first, last);
      for (auto at = std::lower_bound(uids.begin(), uids.end(), first); at != uids.end() && *at <= last; ++at)
        out_ += "* " + std::to_string(at - uids.begin() + 1) + " FETCH (UID " + std::to_string(*at) + flags +
                ")\r\n";
    }
  }

  Socket socket_;
  const Mailbox& mailbox_;
  std::string user_;
  std::string in_;
  std::string out_;
  std::string idle_tag_;
  bool selected_ = false;
  size_t told_ = 0;  // of the mailbox's events
  bool closing_ = false;
};

class Server {
 public:
  Server(uint16_t port, Mailbox mailbox) : mailbox_(std::move(mailbox)), listener_(listen_on(port)) {
    poll_.add(listener_.fd(), EPOLLIN);
    poll_.add(STDIN_FILENO, EPOLLIN);
  }

  void run() {
    bool goes_on = true;
    while (goes_on) {
      poll_.wait(-1, [&](int fd, uint32_t events) {
        if (fd == listener_.fd()) {
          accept_all();
        } else if (fd == STDIN_FILENO) {
          goes_on = obey();
        } else {
          serve(fd, events);
        }
      });
    }
  }

 private:
  bool obey() {
    std::string order;
    if (!std::getline(std::cin, order)) return false;
    std::string_view arguments = order;
    const auto verb = word(arguments);
    if (verb == "deliver") {
      mailbox_.deliver();
      push_to_all();
    } else if (verb == "expunge") {
      mailbox_.expunge(static_cast<uint32_t>(std::atoi(arguments.data())));
      push_to_all();
    } else if (verb != "idling") {
      std::fprintf(stderr, "mailbox_backend: unknown order %s\n", order.c_str());
      return false;
    }
    const auto idling = std::count_if(sessions_.begin(), sessions_.end(),
                                      [](const auto& entry) { return entry.second->idling(); });
    std::cout << "{\"sessions\": " << sessions_.size() << ", \"idling\": " << idling << "}" << std::endl;
    return true;
  }

  void push_to_all() {
    for (auto entry = sessions_.begin(); entry != sessions_.end();) {
      auto& session = *entry->second;
      if (session.idling() && !attend(session, [](Session& one) { return one.push(); })) {
        entry = sessions_.erase(entry);
      } else {
        ++entry;
      }
    }
  }

  void accept_all() {
    while (true) {
      Socket socket(accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.fd() < 0) return;
      no_delay(socket.fd());
      auto session = std::make_unique<Session>(std::move(socket), mailbox_);
      const int fd = session->fd();
      poll_.add(fd, EPOLLIN);
      if (session->write()) sessions_.emplace(fd, std::move(session));
    }
  }

  // False: the session is over.
  template <typename Work>
  bool attend(Session& session, Work work) {
    const bool waited = session.wants_write();
    if (!work(session)) return false;
    if (session.wants_write() != waited)
      poll_.change(session.fd(), session.wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return true;
  }

  void serve(int fd, uint32_t events) {
    const auto entry = sessions_.find(fd);
    if (entry == sessions_.end()) return;
    const bool alive = attend(*entry->second, [events](Session& session) {
      if ((events & EPOLLOUT) && !session.write()) return false;
      return !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || session.read();
    });
    if (!alive) sessions_.erase(entry);
  }

  Mailbox mailbox_;
  Socket listener_;
  Poll poll_;
  std::map<int, std::unique_ptr<Session>> sessions_;
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: mailbox_backend PORT MESSAGES GAP\n");
    return 2;
  }
  bench::Server server(
      static_cast<uint16_t>(std::atoi(argv[1])),
      bench::Mailbox(static_cast<uint32_t>(std::atoi(argv[2])), static_cast<uint32_t>(std::atoi(argv[3]))));
  server.run();
}
