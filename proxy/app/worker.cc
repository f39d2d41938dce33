#include "app/worker.h"

#include "backend/open.h"
#include "base/log_event.h"
#include "session/relay.h"

namespace imapmux::app {
namespace {

using async::Task;
using base::Millis;

base::log::Event refused_event{base::log::Level::kWarn, "client refused", base::log::Event::Volume::kLimited};

// For a server that has to be told that its connection is no longer wanted.
constexpr Millis kBurialLogout{1'000};
constexpr Millis kBurialClose{2'000};
// At the end of the process, whether lingering sockets have sent all.
constexpr Millis kLookAgain{20};

}  // namespace

Worker::Worker(size_t index, size_t workers, session::Shared& shared, session::ServicePtr service,
               Deliver deliver)
    : index_(index),
      workers_(workers),
      shared_(shared),
      service_(std::move(service)),
      deliver_(std::move(deliver)),
      tasks_(loop_),
      winding_down_(loop_),
      shared_accounts_(*this),
      entrances_(
          loop_,
          [this](const session::ServicePtr& in_force, const config::Listener& listener,
                 std::unique_ptr<net::TcpStream> stream) { accept(in_force, listener, std::move(stream)); }),
      handing_on_(*this, sessions_) {}

Worker::~Worker() = default;

void Worker::listen(Entrance entrance) {
  net::EventLoop::Turn turn(loop_);
  entrances_.open(std::move(entrance), service_);
}

void Worker::start() {
  if (index_ == 0) {
    net::EventLoop::Turn turn(loop_);
    health_checks_ = std::make_unique<backend::HealthChecks>(loop_);
    health_checks_->watch(service_->backends);
  }
  thread_ = std::thread([this] { loop_.run(); });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::accept(const session::ServicePtr& service, const config::Listener& listener,
                    std::unique_ptr<net::TcpStream> stream) {
  auto place = session::ClientPlace::take(shared_.counters.clients, service->config->limits.max_clients);
  if (!place || stopping_) {
    if (!place) {
      shared_.counters.clients_refused.fetch_add(1, std::memory_order_relaxed);
      refused_event.write({{"client", stream->peer().to_string()},
                           {"listener", listener.name},
                           {"reason", "max_clients"},
                           {"limit", service->config->limits.max_clients}});
    }
    // Before a TLS handshake nothing can be said.
    if (listener.tls != config::ListenerTls::kImplicit)
      stream->write(stopping_ ? "* BYE [UNAVAILABLE] The proxy is shutting down\r\n"
                              : "* BYE [UNAVAILABLE] Too many connections, try again later\r\n");
    return;
  }
  session::ClientPlaces places;
  places.total = std::move(place);
  tasks_.spawn(serve(service, &listener, std::move(stream), std::move(places)));
}

Task<> Worker::serve(session::ServicePtr service, const config::Listener* listener,
                     std::unique_ptr<net::TcpStream> stream, session::ClientPlaces places) {
  shared_.counters.sessions.fetch_add(1, std::memory_order_relaxed);
  session::ClientSession session(*this, service, *listener, std::move(stream), std::move(places));
  co_await run(session);
}

Task<> Worker::serve_handed_over(std::unique_ptr<session::HandedOver> client) {
  session::ClientSession session(*this, std::move(client));
  co_await run(session);
}

Task<> Worker::run(session::ClientSession& session) {
  sessions_.push_back(session);
  if (stopping_) session.shut_down();
  co_await session.run();
  session.unlink();
  session_ended_.notify_all();
  if (!session.handed_over()) co_return;
  hand_over(session.destination(), session.take_hand_over());
}

void Worker::keep(std::unique_ptr<session::Relay> relay) {
  sessions_.push_back(*relay.release());
}

void Worker::relay_ended(session::Relay& relay) {
  tasks_.spawn(finish_relay(std::unique_ptr<session::Relay>(&relay)));
}

Task<> Worker::finish_relay(std::unique_ptr<session::Relay> relay) {
  co_await relay->finish();
  relay->unlink();
  session_ended_.notify_all();
}

Task<> Worker::close_for_good(session::Seat seat) {
  co_await seat.connection->close(kBurialLogout, stopping_ ? Millis(0) : kBurialClose);
}

Task<std::unique_ptr<backend::BackendConnection>> Worker::connect(
    std::shared_ptr<backend::BackendServers> servers, std::string login_name, backend::MaybeOrigin origin) {
  return backend::open_connection(loop_, std::move(servers), std::move(login_name), std::move(origin),
                                  service_->config->limits.tcp_keepalive);
}

std::unique_ptr<net::Stream> Worker::adopt(session::HandedOver& client) {
  auto tcp = net::TcpStream::adopt(loop_, std::exchange(client.fd, -1), client.kind, net::Side::kClient,
                                   client.peer);
  if (!client.tls) return tcp;
  return std::make_unique<net::TlsStream>(std::move(tcp), std::move(client.transfer));
}

void Worker::accept_handed_over(std::unique_ptr<session::HandedOver> client) {
  loop_.post(
      [this, client = std::move(client)]() mutable { tasks_.spawn(serve_handed_over(std::move(client))); });
}

void Worker::set_service(session::ServicePtr service, std::vector<Entrance> added) {
  loop_.post([this, service = std::move(service), added = std::move(added)]() mutable {
    service_ = std::move(service);
    if (health_checks_) health_checks_->watch(service_->backends);
    shared_accounts_.use(service_->backends);
    if (stopping_) return;
    entrances_.use(service_);
    for (auto& entrance : added) {
      try {
        entrances_.open(std::move(entrance), service_);
      } catch (const std::runtime_error& error) {
        base::log::error("reload: {}", error.what());
      }
    }
  });
}

std::future<void> Worker::hold(std::set<std::string> taken) {
  auto done = std::make_shared<std::promise<void>>();
  loop_.post([this, taken = std::move(taken), done] {
    entrances_.hold(taken);
    done->set_value();
  });
  return done->get_future();
}

void Worker::go_on() {
  loop_.post([this] {
    handing_on_.take_back();
    if (!stopping_) entrances_.go_on();
  });
}

void Worker::give_up(mailbox::AccountSet accounts, Millis grace, std::function<void()> done) {
  loop_.post([this, accounts = std::move(accounts), grace, done = std::move(done)]() mutable {
    handing_on_.give_up(std::move(accounts), grace, std::move(done));
  });
}

void Worker::give_up_all(Millis time, Millis grace) {
  loop_.post([this, time, grace] { handing_on_.give_up_all(time, grace); });
}

void Worker::collect(session::Detail detail, std::function<void(session::WorkerReport)> done) {
  loop_.post(
      [this, detail, done = std::move(done)] { done(session::report(sessions_, shared_accounts_, detail)); });
}

void Worker::kick(session::KickWish wish, std::function<void(size_t)> done) {
  loop_.post([this, wish = std::move(wish), done = std::move(done)] {
    size_t kicked = 0;
    sessions_.for_each([&](session::Session& session) {
      if (!wish.means(session)) return;
      session.kick();
      ++kicked;
    });
    done(kicked);
  });
}

void Worker::see_drained() {
  loop_.post(
      [this] { shared_accounts_.for_each([](mailbox::SharedAccount& account) { account.see_drained(); }); });
}

std::future<void> Worker::shut_down(Millis grace) {
  auto done = std::make_shared<std::promise<void>>();
  loop_.post([this, grace, done] {
    stopping_ = true;
    entrances_.close();
    sessions_.for_each([](session::Session& session) { session.shut_down(); });
    winding_down_.spawn(wind_down(grace, done));
  });
  return done->get_future();
}

Task<> Worker::wind_down(Millis grace, std::shared_ptr<std::promise<void>> done) {
  const auto deadline = loop_.now() + grace;
  if (health_checks_) co_await health_checks_->stop();
  co_await handing_on_.stop();
  co_await entrances_.finish();
  while (!sessions_.empty() && loop_.now() < deadline)
    co_await session_ended_.wait_for(std::chrono::duration_cast<Millis>(deadline - loop_.now()));
  sessions_.for_each([](session::Session& session) { session.cut_off(); });
  co_await tasks_.join();
  co_await shared_accounts_.close_all();
  // Who reads slowly gets the end of his answer all the same.
  while (loop_.lingers_with_unsent() && loop_.now() < deadline) co_await async::sleep_for(kLookAgain);
  done->set_value();
}

void Worker::finish() {
  loop_.post([this] { winding_down_.spawn(stop_when_empty()); });
}

Task<> Worker::stop_when_empty() {
  sessions_.for_each([](session::Session& session) { session.cut_off(); });
  co_await tasks_.join();
  co_await shared_accounts_.close_all();
  loop_.stop();
}

}  // namespace imapmux::app
