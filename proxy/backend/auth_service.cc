#include "backend/auth_service.h"

#include <algorithm>

#include "backend/take_place.h"
#include "net/connect.h"
#include "net/tls_stream.h"

namespace imapmux::backend {
namespace {

using async::Task;
using base::Millis;

// Who would be behind so many others is told at once to come again.
constexpr uint32_t kMostWaiting = 1'000;

// Sends a question and reads its answer; lives in the frame of the task that waits for it.
class Exchange final : private net::StreamHandler {
 public:
  explicit Exchange(net::Stream& stream) : stream_(stream) {
    stream_.set_handler(this);
    stream_.start_reading();
  }
  ~Exchange() { stream_.set_handler(nullptr); }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  async::Event settled;
  std::string problem;
  auth::AnswerParser parser;

 private:
  void on_data(std::string_view chunk) noexcept override {
    if (settled.is_set()) return;  // the body
    const auto event = parser.next(chunk);
    if (event == auth::AnswerParser::Event::kNeedMore) return;
    stream_.stop_reading();
    settle(parser.problem());
  }
  void on_eof() noexcept override { settle("closed before the end of its answer"); }
  void on_lost(const std::string& reason) noexcept override { settle(reason); }
  void settle(const std::string& with) {
    if (settled.is_set()) return;
    problem = with;
    settled.set();
  }

  net::Stream& stream_;
};

net::ClientTlsOptions tls_options(const config::AuthHttp& settings) {
  net::ClientTlsOptions options;
  options.trust = static_cast<net::TlsTrust>(settings.tls_verify);
  options.ca = settings.ca;
  return options;
}

}  // namespace

AuthService::AuthService(std::shared_ptr<const config::AuthHttp> settings) : settings_(std::move(settings)) {
  if (settings_->tls) tls_ = net::ClientTls::make(tls_options(*settings_));
  limit_->set_most(settings_->max_connections);
}

Task<auth::ServiceAnswer> AuthService::ask(net::EventLoop& loop, std::shared_ptr<AuthService> service,
                                           base::Secret question) {
  const auto& settings = *service->settings_;
  const auto deadline = loop.now() + settings.timeout;
  const auto left = [&loop, deadline] {
    return std::max(Millis(1), std::chrono::duration_cast<Millis>(deadline - loop.now()));
  };
  if (service->limit_->waiting() >= kMostWaiting) throw ServiceUnavailable("too many logins wait for it");
  const auto place = co_await take_place(loop, service->limit_, settings.timeout);
  if (!place) throw ServiceUnavailable("too many logins wait for it (max_connections)");
  std::string problem;
  try {
    net::ConnectOptions options;
    options.limit = left();
    auto tcp = co_await net::connect(loop, settings.endpoint, options);
    std::unique_ptr<net::Stream> stream;
    if (settings.tls) {
      auto session = service->tls_->open(settings.endpoint.host);
      auto tls = std::make_unique<net::TlsStream>(std::move(tcp), std::move(session), service);
      co_await tls->handshake(left());
      stream = std::move(tls);
    } else {
      stream = std::move(tcp);
    }
    Exchange exchange(*stream);
    stream->write(question.view());
    auto result = co_await exchange.settled.wait_for(left());
    stream->abort();  // of what else it says nobody wants to know
    if (result != async::WaitResult::kTimeout && exchange.problem.empty()) co_return exchange.parser.take();
    problem = exchange.problem.empty() ? "no answer in time" : exchange.problem;
  } catch (const net::ConnectionLost& lost) {
    problem = lost.what();
  }
  throw ServiceUnavailable(problem);
}

}  // namespace imapmux::backend
