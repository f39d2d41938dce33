// A fast IMAP server with canned answers, so that a benchmark measures the proxy in front of it.
//
//   fake_backend [PORT [TLSPORT CERTIFICATE KEY]]     prints "listening on 127.0.0.1:PORT"; ends on SIGTERM
//
// One thread, epoll, no storage: any user and password log in, every mailbox holds the same ten messages
// whose UIDs equal their numbers, and nothing changes them. Message 2 has 10 MiB, 3 has 100 KiB, all others 1
// KiB. What it says is consistent, so that a proxy that keeps a table of the mailbox is content.
#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "poll.h"
#include "socket.h"
#include "stream.h"
#include "words.h"

namespace bench {
namespace {

constexpr unsigned kMessages = 10;
// What is longer is sent from one buffer that all messages share, not copied into the answer.
constexpr size_t kLongestInline = 4096;

constexpr size_t body_size(unsigned message) {
  switch (message) {
    case 2:
      return size_t{10} << 20;
    case 3:
      return size_t{100} << 10;
    default:
      return 1024;
  }
}
constexpr std::string_view kCapabilities =
    "IMAP4rev1 LITERAL+ SASL-IR ID IDLE UNSELECT UIDPLUS NAMESPACE AUTH=PLAIN AUTH=LOGIN";

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

// What waits to be sent: text, and within it the places where a long body stands.
class Output {
 public:
  bool empty() const { return text_.empty(); }
  Output& operator<<(std::string_view text) {
    text_.append(text);
    return *this;
  }
  void body(size_t size) {
    if (size <= kLongestInline) {
      text_.append(size, 'x');
    } else {
      bodies_.push_back({text_.size(), size});
    }
  }

  // Sends what the connection takes; false at its end.
  bool send_to(Stream& stream) {
    while (!text_.empty()) {
      const Stream::Outcome outcome = stream.write(next());
      if (outcome.count == 0) return !outcome.ended;
      sent(outcome.count);
    }
    return true;
  }

 private:
  struct Body {
    size_t at;  // in text_
    size_t size;
  };

  bool in_body() const { return !bodies_.empty() && bodies_.front().at == sent_; }
  std::string_view next() const {
    static const std::string chunk(size_t{256} << 10, 'x');  // small enough for the cache
    if (in_body()) return std::string_view(chunk).substr(0, bodies_.front().size);
    const size_t end = bodies_.empty() ? text_.size() : bodies_.front().at;
    return std::string_view(text_).substr(sent_, end - sent_);
  }
  void sent(size_t count) {
    if (in_body()) {
      bodies_.front().size -= count;
      if (bodies_.front().size == 0) bodies_.pop_front();
      return;  // text follows each body
    }
    sent_ += count;
    if (sent_ < text_.size()) return;
    text_.clear();
    sent_ = 0;
  }

  std::string text_;
  size_t sent_ = 0;  // octets of text_
  std::deque<Body> bodies_;
};

class Connection {
 public:
  Connection(Socket socket, SSL_CTX* tls) : stream_(std::move(socket), tls, Role::kServer) {
    out_ << "* OK [CAPABILITY " << kCapabilities << "] fake backend ready\r\n";
  }

  int fd() const { return stream_.fd(); }
  bool wants_write() const {
    return !out_.empty() && (!stream_.ssl() || SSL_is_init_finished(stream_.ssl()));
  }

  // Both return false when the connection is over.
  bool read() {
    static std::array<char, 65536> buffer;
    while (true) {
      const Stream::Outcome outcome = stream_.read(buffer);
      if (outcome.ended) return false;
      in_.append(buffer.data(), outcome.count);
      // There may be more where a buffer was filled, and within TLS.
      if (outcome.count == 0 || (outcome.count < buffer.size() && !stream_.ssl())) break;
    }
    take_commands();
    return write();
  }

  bool write() { return out_.send_to(stream_) && !(closing_ && out_.empty()); }

 private:
  void take_commands() {
    size_t start = 0;  // of the command
    while (!closing_) {
      const size_t end = in_.find("\r\n", std::max(scanned_, start));
      if (end == std::string::npos) break;
      Literal literal{};
      if (announces_literal(std::string_view(in_).substr(start, end - start), literal)) {
        if (literal.waits) out_ << "+ go on\r\n";
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
      for_each_message(word(line), [&](unsigned i) { store(i, uid); });
    } else if (verb == "SEARCH") {
      search(upper(line));
    } else if (verb == "SELECT" || verb == "EXAMINE") {
      out_ << "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* 10 EXISTS\r\n* 0 RECENT\r\n"
              "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] ok\r\n"
              "* OK [UIDVALIDITY 1] ok\r\n* OK [UIDNEXT 11] ok\r\n";
      finish(tag, verb == "SELECT" ? "OK [READ-WRITE] done" : "OK [READ-ONLY] done");
      return;
    } else if (verb == "STATUS") {
      status(line);
    } else if (verb == "CAPABILITY") {
      out_ << "* CAPABILITY " << kCapabilities << "\r\n";
    } else if (verb == "NAMESPACE") {
      out_ << "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n";
    } else if (verb == "LIST" || verb == "LSUB") {
      out_ << "* " << verb << " () \"/\" INBOX\r\n";
    } else if (verb == "ID") {
      out_ << "* ID NIL\r\n";
    } else if (verb == "IDLE" || (verb == "AUTHENTICATE" && line.find(' ') == std::string_view::npos)) {
      pending_tag_ = tag;
      out_ << "+ \r\n";
      return;
    } else if (verb == "LOGOUT") {
      out_ << "* BYE see you\r\n";
      closing_ = true;
    }
    finish(tag, "OK done");
  }

  void finish(std::string_view tag, std::string_view text) { out_ << tag << " " << text << "\r\n"; }

  void fetch(std::string_view arguments, bool uid) {
    const std::string_view set = word(arguments);
    const std::string items = upper(arguments);
    const auto asked = [&](const char* item) { return items.find(item) != std::string::npos; };
    std::string same;  // for all messages
    if (asked("FLAGS")) same += " FLAGS (\\Seen)";
    if (asked("INTERNALDATE")) same += " INTERNALDATE \"01-Jan-2024 00:00:00 +0000\"";
    std::string section;
    if (const size_t open = items.find('['); open != std::string::npos)
      section = " BODY" + items.substr(open, items.find(']') - open + 1);
    for_each_message(set, [&](unsigned message) {
      const size_t size = body_size(message);
      std::string attributes = same;
      if (uid || asked("UID")) attributes += " UID " + std::to_string(message);
      if (asked("RFC822.SIZE")) attributes += " RFC822.SIZE " + std::to_string(size);
      if (!section.empty()) attributes += section + " {" + std::to_string(size) + "}\r\n";
      out_ << "* " << std::to_string(message) << " FETCH ("
           << std::string_view(attributes).substr(attributes.empty() ? 0 : 1);
      if (!section.empty()) out_.body(size);
      out_ << ")\r\n";
    });
  }

  void store(unsigned message, bool uid) {
    const std::string number = std::to_string(message);
    out_ << "* " << number << " FETCH (FLAGS (\\Seen)" << (uid ? " UID " + number : "") << ")\r\n";
  }

  // All are seen and none deleted or flagged; other keys find everything.
  void search(const std::string& keys) {
    out_ << "* SEARCH";
    const bool none = keys.ends_with("UNSEEN") || keys == "DELETED" || keys == "FLAGGED" || keys == "RECENT";
    for (unsigned i = 1; !none && i <= kMessages; ++i) out_ << " " << std::to_string(i);
    out_ << "\r\n";
  }

  void status(std::string_view arguments) {
    const size_t open = std::min(arguments.rfind('('), arguments.size());
    std::string_view items = arguments.substr(open);
    out_ << "* STATUS " << arguments.substr(0, open) << "(";
    items.remove_prefix(std::min<size_t>(1, items.size()));
    if (items.ends_with(')')) items.remove_suffix(1);
    while (!items.empty()) {
      const std::string item = upper(word(items));
      const char* value = item == "MESSAGES"      ? "10"
                          : item == "UIDNEXT"     ? "11"
                          : item == "UIDVALIDITY" ? "1"
                                                  : "0";
      out_ << item << " " << value << (items.empty() ? "" : " ");
    }
    out_ << ")\r\n";
  }

  Stream stream_;
  std::string in_;
  size_t scanned_ = 0;  // octets of in_ in which no command ends
  Output out_;
  std::string pending_tag_;  // of IDLE or AUTHENTICATE: the next line ends it
  bool closing_ = false;
};

SslContext server_context(const char* certificate, const char* key) {
  SslContext context(SSL_CTX_new(TLS_server_method()));
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), key, SSL_FILETYPE_PEM) != 1)
    die("certificate and key");
  return context;
}

class Server {
 public:
  explicit Server(uint16_t port) : listener_(listen_on(port)) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    signals_ = Socket(signalfd(-1, &signals, SFD_CLOEXEC));
    poll_.add(listener_.fd(), EPOLLIN);
    poll_.add(signals_.fd(), EPOLLIN);
    std::printf("listening on 127.0.0.1:%u\n", port_of(listener_));
    std::fflush(stdout);
  }

  void listen_with_tls(uint16_t port, SslContext tls) {
    tls_ = std::move(tls);
    tls_listener_ = listen_on(port);
    poll_.add(tls_listener_.fd(), EPOLLIN);
  }

  void run() {
    bool told_to_end = false;
    while (!told_to_end) {
      poll_.wait(-1, [&](int fd, uint32_t events) {
        if (fd == signals_.fd()) {
          told_to_end = true;
        } else if (fd == listener_.fd()) {
          accept_all(listener_, nullptr);
        } else if (fd == tls_listener_.fd()) {
          accept_all(tls_listener_, tls_.get());
        } else {
          serve(fd, events);
        }
      });
    }
  }

 private:
  void accept_all(const Socket& listener, SSL_CTX* tls) {
    while (true) {
      Socket socket(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.fd() < 0) return;
      auto connection = std::make_unique<Connection>(std::move(socket), tls);
      const int fd = connection->fd();
      poll_.add(fd, EPOLLIN);
      if (tls || connection->write()) connections_.emplace(fd, std::move(connection));
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
      poll_.change(fd, connection.wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
  }

  Socket listener_;
  Socket tls_listener_;
  SslContext tls_;
  Poll poll_;
  Socket signals_;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const auto port = [&](int i) { return static_cast<uint16_t>(argc > i ? std::atoi(argv[i]) : 0); };
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  bench::Server server(port(1));
  if (argc > 4) server.listen_with_tls(port(2), bench::server_context(argv[3], argv[4]));
  server.run();
}
