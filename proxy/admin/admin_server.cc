#include "admin/admin_server.h"

#include <httplib.h>
#include <openssl/crypto.h>
#include <sys/un.h>

#include <stdexcept>
#include <thread>

#include "admin/status_json.h"

namespace imapmux::admin {
namespace {

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

struct AdminServer::Http {
  httplib::Server server;
  base::Secret token;
  Collect collect;
  std::string path;  // of a unix socket
  int port = 0;
  std::thread thread;

  bool allowed(const httplib::Request& request) const {
    if (token.empty()) return true;
    const auto given = request.get_header_value("Authorization");
    return same_secret(given, "Bearer " + std::string(token.view()));
  }
};

AdminServer::AdminServer(const base::Endpoint& bind, base::Secret token, Collect collect)
    : http_(std::make_unique<Http>()) {
  http_->token = std::move(token);
  http_->collect = std::move(collect);
  auto& server = http_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(2); };
  server.set_keep_alive_timeout(2);
  server.set_read_timeout(5);
  server.set_payload_max_length(64 * 1024);
  server.Get("/healthz", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("ok\n", "text/plain");
  });
  server.Get("/readyz", [http = http_.get()](const httplib::Request&, httplib::Response& response) {
    const bool ready = http->collect().ready;
    response.status = ready ? 200 : 503;
    response.set_content(ready ? "ready\n" : "not ready\n", "text/plain");
  });
  server.Get("/api/v1/status",
             [http = http_.get()](const httplib::Request& request, httplib::Response& response) {
               if (!http->allowed(request)) {
                 response.status = 401;
                 response.set_header("WWW-Authenticate", "Bearer");
                 response.set_content("a token is needed\n", "text/plain");
                 return;
               }
               response.set_content(to_json(http->collect()), "application/json");
             });
  if (bind.is_unix()) {
    http_->path = bind.path;
    ::unlink(bind.path.c_str());
    server.set_address_family(AF_UNIX);
    if (!server.bind_to_port(bind.path, 80))
      throw std::runtime_error("admin: can't bind " + bind.to_string());
  } else if (bind.port == 0) {
    http_->port = server.bind_to_any_port(bind.host);
    if (http_->port <= 0) throw std::runtime_error("admin: can't bind " + bind.to_string());
  } else {
    http_->port = bind.port;
    if (!server.bind_to_port(bind.host, bind.port))
      throw std::runtime_error("admin: can't bind " + bind.to_string());
  }
  http_->thread = std::thread([http = http_.get()] { http->server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();  // stop() before listen would be lost
}

AdminServer::~AdminServer() {
  http_->server.stop();
  http_->thread.join();
  if (!http_->path.empty()) ::unlink(http_->path.c_str());
}

uint16_t AdminServer::port() const {
  return static_cast<uint16_t>(http_->port);
}

AdminAnswer ask_admin(const base::Endpoint& admin, const std::string& path, const std::string& token) {
  httplib::Client client(admin.is_unix() ? admin.path : admin.host, admin.is_unix() ? 80 : admin.port);
  if (admin.is_unix()) client.set_address_family(AF_UNIX);
  client.set_connection_timeout(3);
  client.set_read_timeout(5);
  if (!token.empty()) client.set_bearer_token_auth(token.c_str());
  const auto result = client.Get(path.c_str());
  if (!result) return {0, httplib::to_string(result.error())};
  return {result->status, result->body};
}

}  // namespace imapmux::admin
