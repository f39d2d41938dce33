#include "demo/legacy_server.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "demo/legacy_session.h"

namespace imapmux::demo {

LegacyServer::LegacyServer(ServerOptions options)
    : options_(std::move(options)), store_(options_.first_uid_validity) {
  for (const auto& [user, password] : options_.users) make_user(user);
}

LegacyServer::~LegacyServer() {
  assert(sessions_.empty());
}

void LegacyServer::make_user(const std::string& user) {
  if (store_.ensure_user(user) && options_.furnish) options_.furnish(store_, user);
}

void LegacyServer::add(LegacySession* session) {
  sessions_.push_back(session);
}
void LegacyServer::remove(LegacySession* session) {
  std::erase(sessions_, session);
}

bool LegacyServer::check_password(const std::string& user, std::string_view password) {
  auto known = options_.users.find(user);
  if (known != options_.users.end()) return known->second == password;
  if (!options_.accept_any_user || user.empty()) return false;
  if (password != (options_.any_password.empty() ? user : options_.any_password)) return false;
  make_user(user);
  return true;
}

void LegacyServer::on_tick() {
  for (LegacySession* session : sessions_) session->on_tick();
}

void LegacyServer::shut_down() {
  for (LegacySession* session : sessions_) session->sever("Server shutting down");
}

std::vector<LegacySession*> LegacyServer::holders(MailboxId mailbox, const LegacySession* except) const {
  std::vector<LegacySession*> result;
  for (LegacySession* session : sessions_) {
    const SelectedMailbox* selected = session->selected();
    if (session == except || selected == nullptr || selected->id() != mailbox) continue;
    if (!selected->examined() || quirks().examine_counts) result.push_back(session);
  }
  return result;
}

size_t LegacyServer::open_sessions() const {
  return static_cast<size_t>(
      std::ranges::count_if(sessions_, [](auto* session) { return !session->closed(); }));
}

size_t LegacyServer::sessions_in(const std::string& user, const std::string& mailbox) const {
  auto id = store_.find(user, mailbox);
  return static_cast<size_t>(std::ranges::count_if(sessions_, [&](auto* session) {
    return id && session->selected() != nullptr && session->selected()->id() == *id;
  }));
}

size_t LegacyServer::sessions_of_user(const std::string& user) const {
  return static_cast<size_t>(std::ranges::count_if(
      sessions_, [&](auto* session) { return !session->closed() && session->user() == user; }));
}

size_t LegacyServer::sessions_from(const std::string& address) const {
  return static_cast<size_t>(std::ranges::count_if(
      sessions_, [&](auto* session) { return !session->closed() && session->peer_address() == address; }));
}

}  // namespace imapmux::demo
