#include "session/service.h"

#include <unistd.h>

namespace imapmux::session {
namespace {

// Of the backend of that name; null: there is none, or no service.
std::shared_ptr<backend::BackendServers> servers_of(const Service* service, const std::string& name) {
  if (!service) return nullptr;
  const auto found = service->backends.find(name);
  return found == service->backends.end() ? nullptr : found->second;
}

}  // namespace

std::shared_ptr<const Service> Service::make(config::ConfigPtr config, const Service* previous) {
  auto service = std::make_shared<Service>();
  service->config = config;
  if (previous) service->generation = previous->generation + 1;
  net::ServerTlsOptions options;
  for (const auto& certificate : config->certificates)
    options.identities.push_back({certificate.names, certificate.certificate, certificate.private_key});
  for (const auto& listener : config->listeners) {
    if (listener.tls == config::ListenerTls::kNone) continue;
    options.floor = static_cast<net::TlsFloor>(listener.min_protocol);
    options.client_ca = listener.client_ca;
    const net::ServerTls* old = nullptr;
    if (previous) {
      const auto found = previous->listener_tls.find(listener.name);
      if (found != previous->listener_tls.end()) old = found->second.get();
    }
    const auto made = net::ServerTls::make(options, old);
    service->listener_tls[listener.name] = made;
    for (size_t i = 0; i < config->certificates.size(); ++i)
      service->certificates[config->certificates[i].certificate] = made->fingerprint(i);
  }
  service->known_servers = previous ? previous->known_servers : std::make_shared<backend::KnownServers>();
  for (const auto& [name, backend] : config->backends) {
    auto& servers = service->backends[name];
    servers = backend::BackendServers::make(config, backend, service->known_servers);
    if (const auto before = servers_of(previous, name)) servers->inherit(*before);
    if (backend.access == config::MailboxAccess::kUnrestricted) service->any_unrestricted = true;
  }
  for (const auto& route : config->routes) {
    if (!route.auth_http) continue;
    const auto& settings = *route.auth_http;
    service->auth_services[&settings] =
        std::make_shared<backend::AuthService>(std::shared_ptr<const config::AuthHttp>(config, &settings));
  }
  return service;
}

void Service::apply_limits() const {
  for (const auto& [name, servers] : backends) servers->apply_limits();
}

HandedOver::~HandedOver() {
  if (fd >= 0) ::close(fd);
}

}  // namespace imapmux::session
