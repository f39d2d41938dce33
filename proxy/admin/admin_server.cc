#include "admin/admin_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "admin/access.h"
#include "admin/actions.h"
#include "admin/admin_client.h"
#include "admin/dashboard.h"
#include "admin/http_server.h"
#include "admin/metrics.h"
#include "admin/status_json.h"
#include "net/listener.h"

namespace imapmux::admin {
namespace {

// Not even destroyed at the end of the process, behind which detached threads would find it gone.
std::vector<std::shared_ptr<void>>& kept_for_ever() {
  static auto& kept = *new std::vector<std::shared_ptr<void>>;
  return kept;
}

std::atomic<bool> some_are_left = false;

constexpr std::chrono::seconds kPatience{1};  // with requests that are being answered at the end
constexpr uint32_t kSocketMode = 0660;

void answer(httplib::Response& response, Answer answer) {
  response.status = answer.status;
  response.set_header("Cache-Control", "no-store");
  response.set_content(answer.body + "\n", "application/json");
}

std::string words_for(Readiness readiness) {
  switch (readiness) {
    case Readiness::kReady:
      return "ready\n";
    case Readiness::kDrained:
      return std::string(kDrained);
    case Readiness::kNotReady:
      break;
  }
  return "not ready\n";
}

// Before anything of a body is read: its length has to be known, also when it is unpacked.
std::optional<Answer> refuse_form(const httplib::Request& request) {
  if (request.method == "GET" || request.method == "HEAD") return std::nullopt;
  if (request.method != "POST") return refuse(405, "GET, HEAD and POST are known here");
  if (!request.has_header("Content-Length") || request.has_header("Transfer-Encoding"))
    return refuse(411, "a body with Content-Length is needed: {} where there is nothing to say");
  if (request.has_header("Content-Encoding")) return refuse(415, "the body has to come as it is");
  return std::nullopt;
}

void turn_away(httplib::Response& response, Access access) {
  switch (access) {
    case Access::kTokenMissing:
      response.set_header("WWW-Authenticate", "Bearer");
      answer(response, refuse(401, "a token is needed"));
      break;
    case Access::kForeignPage:
      answer(response, refuse(403,
                              "not for pages and names from elsewhere: use an address or localhost, or "
                              "set admin.token"));
      break;
    case Access::kNotJson:
      answer(response, refuse(415, "actions need Content-Type: application/json"));
      break;
    case Access::kGranted:
      break;
  }
}

session::Detail detail_of(const httplib::Request& request) {
  session::Detail detail;
  const auto text = request.get_param_value("most");
  size_t most = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), most).ec == std::errc()) detail.most = most;
  return detail;
}

}  // namespace

struct AdminServer::Http {
  HttpServer server;
  Sources sources;
  base::Endpoint bind;
  int port = 0;
  std::thread thread;
  std::mutex mutex;  // with `ended`: what the sources refer to lives no longer than the endpoint
  bool ended = false;

  void serve();
  void listen();
  // `handle` runs unless the endpoint has ended.
  template <class Handle>
  httplib::Server::Handler guarded(Handle handle);
  using Judge = Access (*)(const Visit&, std::string_view token);
  template <class Handle>
  httplib::Server::Handler administrators(Judge judge, Handle handle);
  void act(const std::string& path, std::function<Answer(const std::string& body)> action);
  Visit visit(const httplib::Request& request) const;
};

Visit AdminServer::Http::visit(const httplib::Request& request) const {
  return {.authorization = request.get_header_value("Authorization"),
          .host = request.get_header_value("Host"),
          .origin = request.get_header_value("Origin"),
          .content_type = request.get_header_value("Content-Type"),
          .way = bind.is_unix()       ? Way::kUnixSocket
                 : bind.is_loopback() ? Way::kLoopback
                                      : Way::kNetwork};
}

template <class Handle>
httplib::Server::Handler AdminServer::Http::guarded(Handle handle) {
  return [this, handle](const httplib::Request& request, httplib::Response& response) {
    const std::lock_guard lock(mutex);
    if (ended)
      answer(response, refuse(503, "the process is ending"));
    else
      handle(request, response);
  };
}

template <class Handle>
httplib::Server::Handler AdminServer::Http::administrators(Judge judge, Handle handle) {
  return guarded([this, judge, handle](const httplib::Request& request, httplib::Response& response) {
    const auto token = sources.token();
    const auto access = judge(visit(request), token.view());
    if (access == Access::kGranted)
      handle(request, response);
    else
      turn_away(response, access);
  });
}

void AdminServer::Http::act(const std::string& path, std::function<Answer(const std::string& body)> action) {
  server.Post(path,
              administrators(may_act, [action](const httplib::Request& request, httplib::Response& response) {
                answer(response, action(request.body));
              }));
}

void AdminServer::Http::serve() {
  server.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", "text/plain");
  });
  server.Get("/readyz", guarded([this](const httplib::Request&, httplib::Response& response) {
               const auto readiness = sources.readiness();
               response.status = readiness == Readiness::kReady ? 200 : 503;
               response.set_content(words_for(readiness), "text/plain");
             }));
  server.Get("/metrics", guarded([this](const httplib::Request& request, httplib::Response& response) {
               const auto metrics_token = sources.metrics_token();
               const auto token = sources.token();
               const auto access = may_scrape(visit(request), metrics_token.view(), token.view());
               if (access != Access::kGranted) return turn_away(response, access);
               response.set_content(to_metrics(sources.status({.most = 0}), ProcessFacts::now()),
                                    "text/plain; version=0.0.4; charset=utf-8");
             }));
  server.Get("/", [](const httplib::Request&, httplib::Response& response) {
    const auto dashboard = Dashboard::make();
    response.set_header("Content-Security-Policy", dashboard.policy);
    response.set_header("Cache-Control", "no-store");
    response.set_content(dashboard.page, "text/html; charset=utf-8");
  });
  server.Get("/api/v1/status",
             administrators(may_look, [this](const httplib::Request& request, httplib::Response& response) {
               answer(response, {200, to_json(sources.status(detail_of(request)))});
             }));
  act("/api/v1/kick", [this](const std::string& body) { return kick(body, sources); });
  act("/api/v1/drain", [this](const std::string& body) { return drain(body, sources, Draining::kBegins); });
  act("/api/v1/undrain", [this](const std::string& body) { return drain(body, sources, Draining::kEnds); });
  act("/api/v1/reload", [this](const std::string& body) { return reload(body, sources.reload); });
}

void AdminServer::Http::listen() {
  bool bound = false;
  if (bind.is_unix()) {
    // Fails if somebody listens there; what a crash has left behind goes.
    ::close(net::open_listening_socket(bind, kSocketMode, net::BindCheck::kNone));
    ::unlink(bind.path.c_str());
    const auto before = umask(static_cast<mode_t>(~kSocketMode & 0777));
    server.set_address_family(AF_UNIX);
    bound = server.bind_to_port(bind.path, 80);
    umask(before);
  } else if (bind.port == 0) {
    port = server.bind_to_any_port(bind.host);
    bound = port > 0;
  } else {
    port = bind.port;
    bound = server.bind_to_port(bind.host, bind.port);
  }
  if (!bound) throw std::runtime_error("admin: can't bind " + bind.to_string());
}

AdminServer::AdminServer(const base::Endpoint& bind, Sources sources, base::Descriptor inherited)
    : http_(std::make_shared<Http>()) {
  http_->sources = std::move(sources);
  http_->bind = bind;
  auto& server = http_->server;
  server.set_pre_routing_handler([](const httplib::Request& request, httplib::Response& response) {
    const auto refusal = refuse_form(request);
    if (!refusal) return httplib::Server::HandlerResponse::Unhandled;
    answer(response, *refusal);
    return httplib::Server::HandlerResponse::Handled;
  });
  server.set_default_headers({{"X-Content-Type-Options", "nosniff"}, {"Referrer-Policy", "no-referrer"}});
  http_->serve();
  if (inherited) {
    http_->port = bind.port;
    server.adopt(inherited.release());
  } else {
    http_->listen();
  }
  http_->thread = std::thread([http = http_.get()] { http->server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();  // stop() before listen would be lost
}

AdminServer::~AdminServer() {
  // Who came before another process took over gets an answer: stopping closes what has not asked yet.
  if (let_go_) http_->server.wait_for_connections(kPatience);
  http_->server.end();
  http_->thread.join();
  {
    const std::lock_guard lock(http_->mutex);
    http_->ended = true;
  }
  kept_for_ever().push_back(http_);  // requests that are still being read refer to it
  if (!http_->server.wait_for_connections(kPatience)) some_are_left = true;
}

int AdminServer::descriptor() const {
  return http_->server.descriptor();
}

base::Descriptor AdminServer::let_go() {
  let_go_ = true;
  return http_->server.let_go();
}

bool AdminServer::requests_left() {
  return some_are_left;
}

uint16_t AdminServer::port() const {
  return static_cast<uint16_t>(http_->port);
}

}  // namespace imapmux::admin
