#include "demo/legacy_imapd.h"

#include <deque>
#include <future>
#include <stdexcept>
#include <utility>

#include "async/task_scope.h"
#include "base/log.h"
#include "demo/legacy_session.h"
#include "net/tls_stream.h"

namespace imapmux::demo {

namespace {

using net::Stream;

constexpr base::Millis kKeepalive{0};  // off: clients are near
constexpr base::Millis kHandshakeLimit{30'000};
constexpr base::Millis kLastWordsLimit{5'000};
constexpr uint32_t kUnixMode = 0666;

}  // namespace

// --- announcing changes

struct LegacyImapd::Notifier {
  std::mutex mutex;
  net::EventLoop* loop = nullptr;  // guarded by mutex; null once the LegacyImapd is gone
  bool posted = false;             // guarded by mutex
  LegacyServer* server = nullptr;  // for the loop's thread only

  // Any thread. Changes in quick succession are one tick.
  static void changed(const std::shared_ptr<Notifier>& self) {
    const std::lock_guard lock(self->mutex);
    if (self->loop == nullptr || self->posted) return;
    self->posted = self->loop->post([self] { self->tick(); });
  }
  void tick() {
    {
      const std::lock_guard lock(mutex);
      posted = false;
      if (loop == nullptr) return;
    }
    server->on_tick();
  }
  void detach() {
    const std::lock_guard lock(mutex);
    loop = nullptr;
  }
};

// --- one client

// Owned by the LegacyImapd, which destroys it from the loop's ready list once gone(): never inside a callback
// of its stream or a call of its session.
class LegacyImapd::Connection final : private SessionOutput, private net::StreamHandler {
 public:
  Connection(LegacyImapd& imapd, std::unique_ptr<net::TcpStream> tcp)
      : imapd_(imapd),
        scope_(imapd.loop_),
        timer_(imapd.loop_, [this] { on_timer(); }),
        tcp_(std::move(tcp)) {}
  ~Connection() override {
    if (tls_) tls_->set_handler(nullptr);
    if (tcp_) tcp_->set_handler(nullptr);
  }

  void begin(bool tls) {
    if (tls) {
      begin_handshake();
    } else {
      greet(false);
    }
  }
  bool gone() const { return ended_ && scope_.empty(); }
  // Nobody to say BYE to yet: LegacyServer::shut_down() does not know it.
  bool before_greeting() const { return !session_; }

  // Now, but for what is to be sent already.
  void end() {
    if (ended_) return;
    if (!handshaking_) write_outbox();
    end_at_once();
  }

 private:
  // What is to be done on the stream, in its order and not before it is due.
  enum class Action : uint8_t { kSend, kClose, kStartTls };
  struct Item {
    base::Instant due;
    Action action;
    std::string octets;
  };

  Stream& stream() { return tls_ ? static_cast<Stream&>(*tls_) : *tcp_; }
  base::Millis latency() const { return imapd_.server_.quirks().latency; }

  void greet(bool secure) {
    stream().set_handler(this);
    const auto& address = stream().peer().address;
    session_.emplace(imapd_.server_, address ? address->to_string() : "unix",
                     static_cast<SessionOutput&>(*this), secure);
    session_->start();
    update_reading();
  }

  // --- what the session says
  void send(std::string_view octets) override {
    if (ended_) return;
    if (outbox_.empty() && latency() == base::Millis(0) && !handshaking_) {
      stream().write(octets);
    } else {
      delayed_ += octets.size();
      queue(Action::kSend, std::string(octets));
    }
    update_reading();
  }
  void close() override {
    if (ended_) return;
    // In the middle of a handshake nothing can be said.
    if (handshaking_) {
      end_at_once();
    } else {
      queue(Action::kClose, {});
    }
  }
  void start_tls() override {
    // From here on it is the handshake that reads, even if the answer is still delayed.
    tls_due_ = true;
    stream().stop_reading();
    queue(Action::kStartTls, {});
  }

  void queue(Action action, std::string octets) {
    outbox_.push_back({imapd_.loop_.now() + latency(), action, std::move(octets)});
    work_off();
  }
  void on_timer() {
    if (last_words_) {
      end_at_once();  // the peer does not read them
    } else {
      work_off();
    }
  }
  void work_off() {
    const base::Instant now = imapd_.loop_.now();
    while (!ended_ && !last_words_ && !handshaking_ && !outbox_.empty() && outbox_.front().due <= now) {
      const Item item = std::move(outbox_.front());
      outbox_.pop_front();
      carry_out(item);
    }
    if (ended_ || last_words_) return;
    if (!outbox_.empty() && !handshaking_ && !timer_.active()) timer_.start(outbox_.front().due - now);
    update_reading();
  }
  void carry_out(const Item& item) {
    switch (item.action) {
      case Action::kSend:
        delayed_ -= item.octets.size();
        stream().write(item.octets);
        break;
      case Action::kClose:
        begin_last_words();
        break;
      case Action::kStartTls:
        if (session_->closed()) {
          end_at_once();
        } else {
          begin_handshake();
        }
        break;
    }
  }
  // A stream that is destroyed sends its rest for a short time only: so it keeps living while there is much.
  void begin_last_words() {
    if (stream().unsent() <= Stream::kLowWatermark) {
      end_at_once();
      return;
    }
    last_words_ = true;
    timer_.stop();
    timer_.start(kLastWordsLimit);
    stream().start_reading();  // whatever comes is dropped, but a reset is noticed
  }
  void write_outbox() {
    while (!outbox_.empty() && outbox_.front().action == Action::kSend) {
      stream().write(outbox_.front().octets);
      outbox_.pop_front();
    }
  }
  void end_at_once() {
    if (ended_) return;
    ended_ = true;
    timer_.stop();
    outbox_.clear();
    if (session_ && !session_->closed()) session_->disconnected();
    scope_.cancel();
    imapd_.reap_soon();
  }

  // --- TLS
  void begin_handshake() {
    tls_due_ = true;
    handshaking_ = true;
    scope_.spawn(handshake());
  }
  async::Task<> handshake() {
    bool good = false;
    try {
      tls_ = std::make_unique<net::TlsStream>(std::move(tcp_), imapd_.tls_->open(), imapd_.tls_);
      co_await tls_->handshake(kHandshakeLimit);
      good = true;
    } catch (const async::Cancelled&) {  // NOLINT(bugprone-empty-catch): it has ended already
    } catch (const std::exception& error) {
      base::log::debug("demo server: {}", error.what());
    }
    handshaking_ = tls_due_ = false;
    if (!good) end_at_once();
    imapd_.reap_soon();  // gone() waits for this task
    if (ended_) co_return;
    if (session_) {
      tls_->set_handler(this);
      work_off();
    } else {
      greet(true);
    }
  }

  // --- what the peer says
  void on_data(std::string_view chunk) noexcept override {
    if (!ended_ && !session_->closed()) session_->receive(chunk);
  }
  void on_eof() noexcept override {
    if (ended_ || session_->closed()) return;
    // It may still read: what was answered is sent, when it is due.
    session_->disconnected();
    queue(Action::kClose, {});
  }
  void on_lost(const std::string&) noexcept override { end_at_once(); }
  void on_drained() noexcept override {
    if (last_words_) {
      end_at_once();
    } else if (!ended_) {
      update_reading();
    }
  }
  // Who does not read its answers is not read from.
  void update_reading() {
    if (ended_ || tls_due_ || last_words_) return;
    const size_t waiting = delayed_ + stream().unsent();
    if (waiting > Stream::kHighWatermark) {
      stream().stop_reading();
    } else if (waiting <= Stream::kLowWatermark) {
      stream().start_reading();
    }
  }

  LegacyImapd& imapd_;
  async::TaskScope scope_;               // of the handshake
  async::Timer timer_;                   // of the first item of outbox_; of the last words
  std::unique_ptr<net::TcpStream> tcp_;  // one of the two
  std::unique_ptr<net::TlsStream> tls_;
  std::deque<Item> outbox_;
  size_t delayed_ = 0;                    // octets in outbox_
  bool tls_due_ = false;                  // from STARTTLS to the end of the handshake
  bool handshaking_ = false;              // nothing can be sent
  bool last_words_ = false;               // everything is said, and is to be sent before the end
  bool ended_ = false;                    // to be destroyed
  std::optional<LegacySession> session_;  // nothing before the handshake of implicit TLS
};

// --- LegacyImapd

LegacyImapd::LegacyImapd(net::EventLoop& loop, ServerOptions options, const ImapdSockets& sockets)
    : LegacyImapd(loop, std::make_unique<LegacyServer>(std::move(options)), nullptr, sockets) {}

LegacyImapd::LegacyImapd(net::EventLoop& loop, LegacyServer& server, const ImapdSockets& sockets)
    : LegacyImapd(loop, nullptr, &server, sockets) {}

LegacyImapd::LegacyImapd(net::EventLoop& loop, std::unique_ptr<LegacyServer> own, LegacyServer* server,
                         const ImapdSockets& sockets)
    : loop_(loop),
      own_server_(std::move(own)),
      server_(own_server_ ? *own_server_ : *server),
      tls_(sockets.tls),
      notifier_(std::make_shared<Notifier>()) {
  if (!tls_ && (server_.options().starttls || sockets.tls_bind))
    throw std::runtime_error("the demo server needs a certificate for TLS");
  listener_ = listen(sockets.bind, false, port_);
  if (sockets.tls_bind) tls_listener_ = listen(*sockets.tls_bind, true, tls_port_);
  notifier_->loop = &loop_;
  notifier_->server = &server_;
  server_.store().set_listener([notifier = notifier_] { Notifier::changed(notifier); });
}

LegacyImapd::~LegacyImapd() {
  notifier_->detach();
  server_.store().set_listener({});
  when_empty_ = {};
  const net::EventLoop::Turn turn(loop_);
  for (auto& connection : connections_) connection->end();
  loop_.run_ready();  // handshakes that are under way end, cancelled
  connections_.clear();
}

std::unique_ptr<net::Listener> LegacyImapd::listen(const base::Endpoint& endpoint, bool tls, uint16_t& port) {
  const int fd = net::open_listening_socket(endpoint, kUnixMode, net::BindCheck::kNobodyElse);
  port = net::bound_port(fd);
  return std::make_unique<net::Listener>(
      loop_, fd, endpoint.is_unix() ? net::SocketKind::kUnix : net::SocketKind::kTcp, kKeepalive,
      [this, tls](std::unique_ptr<net::TcpStream> stream) { accept(std::move(stream), tls); });
}

void LegacyImapd::accept(std::unique_ptr<net::TcpStream> stream, bool tls) {
  auto& connection = *connections_.emplace_back(std::make_unique<Connection>(*this, std::move(stream)));
  connection.begin(tls);
}

void LegacyImapd::shut_down(std::function<void()> done) {
  const net::EventLoop::Turn turn(loop_);
  listener_.reset();
  tls_listener_.reset();
  when_empty_ = std::move(done);
  server_.shut_down();
  for (auto& connection : connections_)
    if (connection->before_greeting()) connection->end();
  reap_soon();
}

void LegacyImapd::reap_soon() {
  if (!linked()) loop_.make_ready(*this);
}

void LegacyImapd::run() {
  std::erase_if(connections_, [](const auto& connection) { return connection->gone(); });
  if (connections_.empty() && when_empty_) std::exchange(when_empty_, {})();
}

// --- LegacyImapdThread

LegacyImapdThread::LegacyImapdThread(ServerOptions options, ImapdSockets sockets)
    : server_(std::move(options)), sockets_(std::move(sockets)) {
  start();
}

LegacyImapdThread::~LegacyImapdThread() {
  stop();
}

void LegacyImapdThread::start() {
  if (running()) return;
  auto loop = std::make_unique<net::EventLoop>();
  imapd_ = std::make_unique<LegacyImapd>(*loop, server_, sockets_);
  loop_ = std::move(loop);
  if (!sockets_.bind.is_unix()) sockets_.bind.port = imapd_->port();
  if (sockets_.tls_bind && !sockets_.tls_bind->is_unix()) sockets_.tls_bind->port = imapd_->tls_port();
  thread_ = std::thread([&on = *loop_] { on.run(); });
}

void LegacyImapdThread::stop() {
  if (!running()) return;
  loop_->post([this] { imapd_->shut_down([this] { loop_->stop(); }); });
  join();
}

void LegacyImapdThread::vanish() {
  if (!running()) return;
  loop_->stop();
  join();
}

void LegacyImapdThread::join() {
  thread_.join();
  imapd_.reset();
  loop_.reset();
}

void LegacyImapdThread::call(const std::function<void(LegacyImapd&)>& work) {
  if (!running()) throw std::logic_error("the demo server does not run");
  std::promise<void> done;
  loop_->post([&] {
    try {
      work(*imapd_);
      done.set_value();
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  });
  done.get_future().get();
}

}  // namespace imapmux::demo
