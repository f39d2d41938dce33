// What two processes say to each other while one takes over from the other (`serve --takeover`), over a unix
// socket of packets, so that a message is a packet and brings its descriptors (SCM_RIGHTS).
//
//   heir (the new one)                 donor (the one that runs)
//   HELLO magic version program
//                                      HELLO magic version program   or NO why
//                                      SOCKET id address ¦ descriptors    for each listener
//                                      ADMIN address ¦ descriptor         if there is one
//                                      TAKEOVER ¦ descriptor              the socket that the heir has come
//                                      to BACKEND name description           for each ALL
//   READY id…                                                        it can serve these listeners
//                                      CONNECTIONS backend server n       where max_connections is set
//                                      YOURS milliseconds                 accepts nobody any more; ends by
//                                      then
//   WANT backend user                                                a login (session/inheritance.h)
//                                      GIVEN backend user                 nothing of it is left here
//                                      CONNECTIONS backend server n       whenever there are fewer
//                                      DONE                               nothing at all is left
//   (closes)                           (closes, behind the heir: what was not read would make DONE be lost)
//
// Until YOURS the donor goes on as if nothing were, and so it does again whenever the heir goes before DONE.
// A donor that goes without DONE has died: then the heir has everything, too, a moment later. Before YOURS it
// may as well have thought better of it: then the heir ends.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/descriptor.h"

namespace imapmux::app {

struct TakeoverMessage {
  std::string word;
  std::vector<std::string> parts{};
  std::vector<int> lent{};                  // descriptors to send; they stay the sender's
  std::vector<base::Descriptor> given{};    // that came with it
  const std::string& part(size_t n) const;  // empty if it is not there
};

// One end. Owned by the donor or the heir; send() may be called from any thread, all else from its own. All
// of it throws std::runtime_error when the other side is gone, or does not keep to the protocol.
class TakeoverChannel {
 public:
  static constexpr std::string_view kMagic = "imapmux-takeover";
  static constexpr std::string_view kVersion = "1";
  static constexpr size_t kMostDescriptors = 64;  // in a message: as many as workers

  // Refuses another user's process at the other end.
  explicit TakeoverChannel(base::Descriptor socket);
  // Nothing: nobody listens there.
  static std::optional<TakeoverChannel> connect(const std::string& path);

  void send(const TakeoverMessage& message);
  // Nothing: the other side has closed, or `limit` is over without a message (then is_open() is true).
  std::optional<TakeoverMessage> receive(std::chrono::milliseconds limit);
  // The next one, which has to come within `limit`.
  TakeoverMessage expect(std::chrono::milliseconds limit);
  bool is_open() const { return open_; }
  // From here on the other side knows that nothing more is read.
  void close();
  // Makes sure that the other process has ended, and that what it had is closed: only then it holds no
  // mailbox. One that does not talk any more is killed.
  void end_peer();
  // The other process has closed, since it has ended.
  bool peer_has_died() const;
  int peer() const { return peer_; }  // the other process

 private:
  bool wait_for_death(int limit) const;

  base::Descriptor socket_;
  base::Descriptor
      process_;  // pidfd_open(2), for its number may soon be another's; none: it had ended already
  int peer_ = 0;
  bool open_ = true;
};

// A socket to listen on at this path, for this user only. Throws std::runtime_error.
base::Descriptor listen_for_takeover(const std::string& path);

}  // namespace imapmux::app
