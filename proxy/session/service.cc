#include "session/service.h"

#include <unistd.h>

#include <algorithm>

namespace imapmux::session {

namespace {

bool same_socket(const config::Listener& a, const config::Listener& b) {
  return a.name == b.name && a.bind == b.bind && a.mode == b.mode;
}

// The settings of the new configuration for the sockets that are open already.
void keep_sockets(Service& service, const Service& previous) {
  const auto& wanted = service.config->listeners;
  for (const auto& open : previous.listeners) {
    const auto found =
        std::find_if(wanted.begin(), wanted.end(), [&](const auto& one) { return same_socket(one, open); });
    service.listeners.push_back(found == wanted.end() ? open : *found);
    if (found == wanted.end())
      service.needs_restart.push_back("listener " + open.name + " was removed or moved");
  }
  for (const auto& one : wanted) {
    const auto found = std::find_if(previous.listeners.begin(), previous.listeners.end(),
                                    [&](const auto& open) { return same_socket(open, one); });
    if (found == previous.listeners.end())
      service.needs_restart.push_back("listener " + one.name + " is new");
  }
  if (service.config->workers != previous.config->workers) service.needs_restart.emplace_back("workers");
  if (service.config->limits.tcp_keepalive != previous.config->limits.tcp_keepalive)
    service.needs_restart.emplace_back("limits.tcp_keepalive");
  if (service.config->limits.spool_directory != previous.config->limits.spool_directory)
    service.needs_restart.emplace_back("limits.spool_directory");
  if (service.config->admin != previous.config->admin) service.needs_restart.emplace_back("admin.bind");
}

}  // namespace

std::shared_ptr<const Service> Service::make(config::ConfigPtr config, const Service* previous) {
  auto service = std::make_shared<Service>();
  service->config = config;
  net::ServerTlsOptions options;
  for (const auto& certificate : config->certificates)
    options.identities.push_back({certificate.names, certificate.certificate, certificate.private_key});
  if (previous) {
    keep_sockets(*service, *previous);
  } else {
    service->listeners = config->listeners;
  }
  for (const auto& listener : service->listeners) {
    if (listener.tls == config::ListenerTls::kNone) continue;
    options.floor = static_cast<net::TlsFloor>(listener.min_protocol);
    options.client_ca = listener.client_ca;
    const net::ServerTls* old = nullptr;
    if (previous) {
      const auto found = previous->listener_tls.find(listener.name);
      if (found != previous->listener_tls.end()) old = found->second.get();
    }
    service->listener_tls[listener.name] = net::ServerTls::make(options, old);
  }
  for (const auto& [name, backend] : config->backends) {
    const backend::BackendServers* old = nullptr;
    if (previous) {
      const auto found = previous->backends.find(name);
      if (found != previous->backends.end()) old = found->second.get();
    }
    service->backends[name] = backend::BackendServers::make(config, backend, old);
    if (backend.access == config::MailboxAccess::kUnrestricted) service->any_unrestricted = true;
  }
  for (const auto& [name, servers] : service->backends) servers->apply_limits();
  return service;
}

const config::Listener* Service::listener(const std::string& name) const {
  const auto& all = listeners;
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

HandedOver::~HandedOver() {
  if (fd >= 0) ::close(fd);
}

}  // namespace imapmux::session
