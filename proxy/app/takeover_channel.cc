#include "app/takeover_channel.h"

// Without extern "C" in glibc 2.36.
extern "C" {
#include <sys/pidfd.h>
}

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "base/log.h"

namespace imapmux::app {
namespace {

constexpr size_t kLongest = 64 * 1024;
constexpr std::chrono::seconds kSendLimit{5};
constexpr int kDeathLimit = 5'000;
constexpr int kLastBreath = 500;  // a process closes its sockets a moment before it has ended
// What the kernel closes for a process that has died, servers notice a moment later.
constexpr std::chrono::seconds kAftermath{1};

[[noreturn]] void fail(const std::string& what, int error) {
  throw std::runtime_error("take-over: " + what + ": " + strerror(error));
}

// Login names are any octets: "4:WANT6:legacy3:bob".
std::string encode(const TakeoverMessage& message) {
  auto text = fmt::format("{}:{}", message.word.size(), message.word);
  for (const auto& part : message.parts) text += fmt::format("{}:{}", part.size(), part);
  return text;
}

std::vector<std::string> decode(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    size_t size = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (error != std::errc() || text.empty() || text.front() != ':' || size > text.size() - 1)
      throw std::runtime_error("take-over: the other process talks nonsense");
    parts.emplace_back(text.substr(1, size));
    text.remove_prefix(1 + size);
  }
  if (parts.empty()) throw std::runtime_error("take-over: the other process says nothing");
  return parts;
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

base::Descriptor make_socket() {
  base::Descriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) fail("can't make a socket", errno);
  return fd;
}

// True: somebody listens there.
bool try_connect(const base::Descriptor& fd, const std::string& path) {
  const auto address = address_of(path);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
  if (errno == ENOENT || errno == ECONNREFUSED) return false;
  fail("can't connect to " + path, errno);
}

union Control {
  std::array<char, CMSG_SPACE(sizeof(int) * TakeoverChannel::kMostDescriptors)> octets;
  cmsghdr alignment;
};

}  // namespace

const std::string& TakeoverMessage::part(size_t n) const {
  static const std::string none;
  return n < parts.size() ? parts[n] : none;
}

TakeoverChannel::TakeoverChannel(base::Descriptor socket) : socket_(std::move(socket)) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) fail("who is it?", errno);
  if (peer.uid != geteuid())
    throw std::runtime_error(fmt::format("take-over: process {} is of another user", peer.pid));
  // pid_namespaces(7): it has no number here, and 0 would be this process's group for kill().
  if (peer.pid == 0) throw std::runtime_error("take-over: the other process is in another PID namespace");
  peer_ = peer.pid;
  process_ = base::Descriptor(pidfd_open(peer_, 0));
  if (!process_ && errno != ESRCH) fail("process " + std::to_string(peer_), errno);
  const timeval limit{kSendLimit.count(), 0};
  setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

std::optional<TakeoverChannel> TakeoverChannel::connect(const std::string& path) {
  auto fd = make_socket();
  if (!try_connect(fd, path)) return std::nullopt;
  return TakeoverChannel(std::move(fd));
}

void TakeoverChannel::send(const TakeoverMessage& message) {
  auto text = encode(message);
  iovec part{text.data(), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  Control control{};
  const size_t octets = sizeof(int) * message.lent.size();
  if (!message.lent.empty()) {
    header.msg_control = control.octets.data();
    header.msg_controllen = CMSG_SPACE(octets);
    auto* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(octets);
    std::memcpy(CMSG_DATA(rights), message.lent.data(), octets);
  }
  if (sendmsg(socket_.get(), &header, MSG_NOSIGNAL) >= 0) return;
  if (errno == EPIPE || errno == ECONNRESET) open_ = false;
  fail("can't talk to the other process", errno);
}

std::optional<TakeoverMessage> TakeoverChannel::receive(std::chrono::milliseconds limit) {
  pollfd ready{socket_.get(), POLLIN, 0};
  if (poll(&ready, 1, static_cast<int>(limit.count())) <= 0) return std::nullopt;
  std::string text(kLongest, '\0');
  iovec part{text.data(), text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  Control control{};
  header.msg_control = control.octets.data();
  header.msg_controllen = control.octets.size();
  const auto size = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  TakeoverMessage message;
  for (auto* rights = CMSG_FIRSTHDR(&header); rights; rights = CMSG_NXTHDR(&header, rights)) {
    if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(rights) + i * sizeof(int), sizeof fd);
      message.given.emplace_back(fd);
    }
  }
  if (size <= 0) {
    open_ = false;
    return std::nullopt;
  }
  if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
    throw std::runtime_error("take-over: a message is too long, or there are not enough descriptors for it");
  message.parts = decode(std::string_view(text).substr(0, static_cast<size_t>(size)));
  message.word = std::move(message.parts.front());
  message.parts.erase(message.parts.begin());
  return message;
}

TakeoverMessage TakeoverChannel::expect(std::chrono::milliseconds limit) {
  auto message = receive(limit);
  if (message) return std::move(*message);
  throw std::runtime_error(is_open() ? "take-over: the other process does not answer"
                                     : "take-over: the other process is gone");
}

void TakeoverChannel::close() {
  socket_ = base::Descriptor();
  open_ = false;
}

bool TakeoverChannel::wait_for_death(int limit) const {
  if (!process_) return true;
  pollfd ended{process_.get(), POLLIN, 0};
  return poll(&ended, 1, limit) > 0;
}

bool TakeoverChannel::peer_has_died() const {
  return !open_ && wait_for_death(kLastBreath);
}

void TakeoverChannel::end_peer() {
  if (open_) {
    base::log::error("take-over: process {} is killed", peer_);
    pidfd_send_signal(process_.get(), SIGKILL, nullptr, 0);
    wait_for_death(kDeathLimit);
  }
  open_ = false;
  std::this_thread::sleep_for(kAftermath);
}

base::Descriptor listen_for_takeover(const std::string& path) {
  auto fd = make_socket();
  // A file that nobody listens at is what a crash left behind.
  if (try_connect(fd, path))
    throw std::runtime_error("takeover.socket: another process listens on " + path +
                             " (is serve --takeover meant?)");
  fd = make_socket();
  struct stat facts{};
  if (lstat(path.c_str(), &facts) == 0 && S_ISSOCK(facts.st_mode)) unlink(path.c_str());
  const auto address = address_of(path);
  const auto before = umask(0177);
  const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  umask(before);
  if (bound != 0) fail("can't bind " + path, error);
  if (listen(fd.get(), 4) != 0) fail("can't listen on " + path, errno);
  return fd;
}

}  // namespace imapmux::app
