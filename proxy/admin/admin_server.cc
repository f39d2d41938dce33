#include "admin/admin_server.h"

#include <httplib.h>
#include <openssl/crypto.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "admin/status_json.h"

namespace imapmux::admin {
namespace {

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// Not even destroyed at the end of the process, behind which detached threads would find it gone.
std::vector<std::shared_ptr<void>>& kept_for_ever() {
  static auto& kept = *new std::vector<std::shared_ptr<void>>;
  return kept;
}

// The threads of an endpoint's requests, which they outlive.
struct RequestCount {
  std::mutex mutex;
  std::condition_variable less;
  int running = 0;
};

std::atomic<bool> some_are_left = false;

// A thread for each request, up to a limit: a client that is slow to say what it wants must keep neither a
// health check nor the end of the program waiting, so nothing here is ever joined.
class RequestThreads final : public httplib::TaskQueue {
 public:
  explicit RequestThreads(std::shared_ptr<RequestCount> count) : count_(std::move(count)) {}
  void enqueue(std::function<void()> work) override {
    std::unique_lock lock(count_->mutex);
    count_->less.wait(lock, [this] { return count_->running < kMost; });
    ++count_->running;
    std::thread([work = std::move(work), count = count_] {
      work();
      const std::lock_guard done(count->mutex);
      --count->running;
      count->less.notify_all();
    }).detach();
  }
  void shutdown() override {}

 private:
  static constexpr int kMost = 64;
  std::shared_ptr<RequestCount> count_;
};

constexpr std::chrono::seconds kPatience{1};  // with requests that are being answered at the end

}  // namespace

struct AdminServer::Http {
  httplib::Server server;
  std::shared_ptr<RequestCount> requests = std::make_shared<RequestCount>();
  Sources sources;
  int port = 0;
  std::thread thread;
  std::mutex mutex;  // with `ended`: what the sources refer to lives no longer than the endpoint
  bool ended = false;

  bool allowed(const httplib::Request& request) {
    const auto token = sources.token();
    if (token.empty()) return true;
    return same_secret(request.get_header_value("Authorization"), "Bearer " + std::string(token.view()));
  }
  void status(const httplib::Request& request, httplib::Response& response) {
    const std::lock_guard lock(mutex);
    if (ended) {
      response.status = 503;
    } else if (!allowed(request)) {
      response.status = 401;
      response.set_header("WWW-Authenticate", "Bearer");
      response.set_content("a token is needed\n", "text/plain");
    } else {
      response.set_content(to_json(sources.status()), "application/json");
    }
  }
  void ready(httplib::Response& response) {
    const bool is_ready = !ended_now() && sources.ready();
    response.status = is_ready ? 200 : 503;
    response.set_content(is_ready ? "ready\n" : "not ready\n", "text/plain");
  }
  bool ended_now() {
    const std::lock_guard lock(mutex);
    return ended;
  }
};

AdminServer::AdminServer(const base::Endpoint& bind, Sources sources) : http_(std::make_shared<Http>()) {
  http_->sources = std::move(sources);
  auto& server = http_->server;
  server.new_task_queue = [count = http_->requests] { return new RequestThreads(count); };
  server.set_keep_alive_timeout(2);
  server.set_read_timeout(5);
  server.set_payload_max_length(64 * 1024);
  // Not SO_REUSEPORT, httplib's default: a second process would silently share the port.
  server.set_socket_options([](socket_t fd) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
  auto* http = http_.get();
  server.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", "text/plain");
  });
  server.Get("/readyz",
             [http](const httplib::Request&, httplib::Response& response) { http->ready(response); });
  server.Get("/api/v1/status", [http](const httplib::Request& request, httplib::Response& response) {
    http->status(request, response);
  });
  if (bind.port == 0) {
    http_->port = server.bind_to_any_port(bind.host);
    if (http_->port <= 0) throw std::runtime_error("admin: can't bind " + bind.to_string());
  } else {
    http_->port = bind.port;
    if (!server.bind_to_port(bind.host, bind.port))
      throw std::runtime_error("admin: can't bind " + bind.to_string());
  }
  http_->thread = std::thread([http] { http->server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();  // stop() before listen would be lost
}

AdminServer::~AdminServer() {
  http_->server.stop();
  http_->thread.join();
  {
    const std::lock_guard lock(http_->mutex);
    http_->ended = true;
  }
  kept_for_ever().push_back(http_);  // requests that are still being read refer to it
  std::unique_lock lock(http_->requests->mutex);
  const bool all_done =
      http_->requests->less.wait_for(lock, kPatience, [this] { return http_->requests->running == 0; });
  if (!all_done) some_are_left = true;
}

bool AdminServer::requests_left() {
  return some_are_left;
}

uint16_t AdminServer::port() const {
  return static_cast<uint16_t>(http_->port);
}

AdminAnswer ask_admin(const base::Endpoint& admin, const std::string& path, const std::string& token) {
  httplib::Client client(admin.host, admin.port);
  client.set_connection_timeout(3);
  client.set_read_timeout(5);
  if (!token.empty()) client.set_bearer_token_auth(token.c_str());
  const auto result = client.Get(path.c_str());
  if (!result) return {0, httplib::to_string(result.error())};
  return {result->status, result->body};
}

}  // namespace imapmux::admin
