#include "app/entrances.h"

#include <algorithm>

#include "app/listening.h"

namespace imapmux::app {
namespace {

using async::Task;
using base::Millis;

// For the rest of the handshake of those who were on their way.
constexpr Millis kHandshake{1'000};
constexpr Millis kLookAgain{100};
constexpr int kMostLooks = 50;  // without descriptors for those who wait

const config::Listener* listener_of(const session::Service& service, const std::string& id) {
  const auto& all = service.config->listeners;
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return socket_id(one) == id; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

Entrances::Entrances(net::EventLoop& loop, Accept accept)
    : loop_(loop), accept_(std::move(accept)), closing_(loop) {}

Entrances::~Entrances() = default;

void Entrances::open(Entrance entrance, const session::ServicePtr& service) {
  auto door = std::make_unique<Door>();
  auto* raw = door.get();
  door->id = std::move(entrance.id);
  door->service = service;
  door->listener = listener_of(*service, door->id);
  door->socket = std::make_unique<net::Listener>(loop_, entrance.descriptor.release(), entrance.kind,
                                                 service->config->limits.tcp_keepalive,
                                                 [this, raw](std::unique_ptr<net::TcpStream> stream) {
                                                   accept_(raw->service, *raw->listener, std::move(stream));
                                                 });
  doors_.push_back(std::move(door));
}

void Entrances::use(const session::ServicePtr& service) {
  for (auto& door : doors_) {
    const auto* listener = listener_of(*service, door->id);
    if (!listener) {
      closing_.spawn(close_slowly(std::move(door)));
      continue;
    }
    door->service = service;
    door->listener = listener;
    door->socket->set_keepalive(service->config->limits.tcp_keepalive);
  }
  std::erase(doors_, nullptr);
}

Task<> Entrances::close_slowly(std::unique_ptr<Door> door) {
  door->socket->let_nobody_in();
  if (!finishing_) co_await finish_.wait_for(kHandshake);
  for (int looks = 0; looks < kMostLooks && !door->socket->accept_all() && !finishing_; ++looks)
    co_await finish_.wait_for(kLookAgain);
}

void Entrances::hold(const std::set<std::string>& taken) {
  held_ = true;
  for (auto& door : doors_) {
    if (taken.contains(door->id)) {
      door->socket->hold();
    } else {
      closing_.spawn(close_slowly(std::move(door)));
    }
  }
  std::erase(doors_, nullptr);
}

void Entrances::go_on() {
  held_ = false;
  for (const auto& door : doors_) door->socket->go_on();
}

void Entrances::close() {
  if (!held_)
    for (const auto& door : doors_) door->socket->accept_all();
  doors_.clear();
}

Task<> Entrances::finish() {
  finishing_ = true;
  finish_.notify_all();
  co_await closing_.join();
}

}  // namespace imapmux::app
