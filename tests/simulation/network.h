// Connections without a network, on the virtual clock: octets take their time, come in pieces of any size,
// and pile up where nobody reads.
//
// A Link is one connection. One end is a net::Stream, the proxy's; the other one, the peer's, is a simulated
// client or the legacy server. The Network owns all links and frees those that both ends have left, so that
// at the end of a run it is empty, or the proxy has forgotten a stream.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/stream.h"
#include "simulation/world.h"

namespace imapmux::simulation {

// How a link cuts and delays.
struct LinkHabits {
  enum class Cut : uint8_t { kWhole, kPieces, kOctets };
  Cut to_proxy = Cut::kWhole;
  Cut from_proxy = Cut::kWhole;
  base::Millis slowest{5};  // delay of a delivery, at most
  // What the proxy writes beyond this is unsent for it until the peer reads; each octet counts for `weight`,
  // so that small mail can fill large buffers.
  size_t window = 64 * 1024;
  size_t weight = 1;

  static LinkHabits any(Random& random);
};

// The far end. It may call its link from inside; what it wants to destroy it leaves for later.
class LinkPeer {
 public:
  virtual void on_octets(std::string_view octets) = 0;
  virtual void on_end() = 0;    // nothing more will come
  virtual void on_reset() = 0;  // the proxy closed at once; the last call

 protected:
  ~LinkPeer() = default;
};

// Sees what passes the proxy's end, in the order in which the proxy sees it.
class LinkTap {
 public:
  virtual void on_delivered(std::string_view octets) = 0;  // just before the proxy gets them
  virtual void on_written(std::string_view octets) = 0;
  virtual void on_lost() {}  // just before the proxy hears of it
  virtual void on_stream_closed() {}

 protected:
  ~LinkTap() = default;
};

class Link {
 public:
  Link(World& world, LinkHabits habits, net::PeerFacts facts);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // The proxy's end, once. It holds the link until it is destroyed.
  static std::unique_ptr<net::Stream> open_stream(const std::shared_ptr<Link>& link);
  void set_tap(std::shared_ptr<LinkTap> tap) { tap_ = std::move(tap); }

  // The peer's side. nullptr: it has gone, and what is written to it is dropped.
  void set_peer(LinkPeer* peer);
  void send(std::string_view octets);
  void finish();  // half-closes
  void reset();   // both ways, at once; the peer hears nothing more
  // The same, but the proxy still gets the first `octets` of what is on its way to it.
  void break_off(size_t octets);
  // While held, the peer reads nothing.
  void hold(bool held);
  bool held() const { return held_; }
  size_t undelivered() const { return in_.size() - in_at_; }

  bool left_by_proxy() const { return stream_closed_; }
  // Nobody needs it any more.
  bool over() const { return stream_closed_ && peer_ == nullptr; }

 private:
  class Stream;

  void arm(async::Timer& timer);
  void deliver_in();
  bool hand_in(size_t most);  // false: the proxy does not read now
  bool readable() const;
  void deliver_out();
  void hand_out(size_t most);
  size_t unsent() const;
  void closed_by_proxy();
  size_t piece(LinkHabits::Cut cut, size_t available);

  World& world_;
  const LinkHabits habits_;
  net::PeerFacts facts_;
  std::shared_ptr<LinkTap> tap_;
  async::Timer in_timer_;
  async::Timer out_timer_;

  // the proxy's end
  net::StreamHandler* handler_ = nullptr;
  bool reading_ = false;
  bool aborted_ = false;
  bool stream_closed_ = false;
  bool above_low_ = false;  // on_drained() is owed
  // the peer's end
  LinkPeer* peer_ = nullptr;
  bool held_ = false;
  // to the proxy
  std::string in_;
  size_t in_at_ = 0;
  bool in_end_ = false;
  bool in_end_told_ = false;
  bool breaks_off_ = false;
  bool lost_ = false;
  bool lost_noticed_ = false;  // by writing
  bool lost_told_ = false;
  // to the peer
  std::string out_;
  size_t out_at_ = 0;
  bool out_end_ = false;
  bool out_end_told_ = false;
};

class Network {
 public:
  explicit Network(World& world) : world_(world) {}
  std::shared_ptr<Link> connect(LinkHabits habits, net::PeerFacts facts);
  // From the main loop only: frees what is over.
  void sweep();
  size_t links() const { return links_.size(); }

 private:
  World& world_;
  std::vector<std::shared_ptr<Link>> links_;
};

}  // namespace imapmux::simulation
