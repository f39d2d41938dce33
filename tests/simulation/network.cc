#include "simulation/network.h"

#include <algorithm>

namespace imapmux::simulation {
namespace {

using Cut = LinkHabits::Cut;

constexpr size_t kLargestPiece = 90;  // octets; a quarter of what waits, if that is more

}  // namespace

LinkHabits LinkHabits::any(Random& random) {
  const auto cut = [&] {
    const auto dice = random.below(10);
    return dice < 6 ? Cut::kWhole : dice < 9 ? Cut::kPieces : Cut::kOctets;
  };
  LinkHabits habits;
  habits.to_proxy = cut();
  habits.from_proxy = cut();
  habits.slowest = base::Millis(random.percent(20) ? random.between(20, 150) : random.between(0, 10));
  if (random.percent(25)) {
    habits.window = random.between(100, 1000);
    habits.weight = random.between(64, 1024);
  }
  return habits;
}

// The proxy's end.
class Link::Stream final : public net::Stream {
 public:
  explicit Stream(std::shared_ptr<Link> link) : link_(std::move(link)) {}
  ~Stream() override { link_->closed_by_proxy(); }
  void set_handler(net::StreamHandler* handler) override {
    link_->handler_ = handler;
    link_->arm(link_->in_timer_);
  }
  void start_reading() override {
    link_->reading_ = true;
    link_->arm(link_->in_timer_);
  }
  void stop_reading() override { link_->reading_ = false; }
  void write(std::string_view octets) override {
    auto& link = *link_;
    if (link.lost_) {
      link.lost_noticed_ = true;
      link.arm(link.in_timer_);
      return;
    }
    if (link.out_end_ || link.aborted_) return;
    if (link.tap_) link.tap_->on_written(octets);
    link.out_ += octets;
    if (link.unsent() > kLowWatermark) link.above_low_ = true;
    link.arm(link.out_timer_);
  }
  void write_through(std::string_view octets) override { write(octets); }
  void finish() override {
    link_->out_end_ = true;
    link_->arm(link_->out_timer_);
  }
  size_t unsent() const override { return link_->unsent(); }
  void abort() override { link_->aborted_ = true; }
  const net::PeerFacts& peer() const override { return link_->facts_; }

 private:
  std::shared_ptr<Link> link_;
};

Link::Link(World& world, LinkHabits habits, net::PeerFacts facts)
    : world_(world),
      habits_(habits),
      facts_(std::move(facts)),
      in_timer_(world.scheduler, [this] { deliver_in(); }),
      out_timer_(world.scheduler, [this] { deliver_out(); }) {}

Link::~Link() = default;

std::unique_ptr<net::Stream> Link::open_stream(const std::shared_ptr<Link>& link) {
  return std::make_unique<Stream>(link);
}

void Link::set_peer(LinkPeer* peer) {
  peer_ = peer;
  arm(out_timer_);
}

void Link::send(std::string_view octets) {
  if (stream_closed_ || lost_ || breaks_off_ || in_end_) return;
  in_ += octets;
  arm(in_timer_);
}

void Link::finish() {
  in_end_ = true;
  arm(in_timer_);
}

void Link::reset() {
  peer_ = nullptr;
  lost_ = true;
  in_.clear();
  in_at_ = 0;
  arm(in_timer_);
  arm(out_timer_);
}

void Link::break_off(size_t octets) {
  peer_ = nullptr;
  breaks_off_ = true;
  in_.resize(std::min(in_.size(), in_at_ + octets));
  arm(in_timer_);
  arm(out_timer_);
}

void Link::hold(bool held) {
  held_ = held;
  if (!held) arm(out_timer_);
}

// Nothing is delivered from inside a call of either end.
void Link::arm(async::Timer& timer) {
  if (!timer.active()) timer.start(base::Millis(world_.random.below(habits_.slowest.count() + 1)));
}

size_t Link::piece(Cut cut, size_t available) {
  if (cut == Cut::kWhole) return available;
  const size_t most = std::max(kLargestPiece, available / 4);
  return std::min(available, size_t{1} + world_.random.below(most));
}

bool Link::readable() const {
  return handler_ != nullptr && reading_ && !stream_closed_ && !lost_;
}

bool Link::hand_in(size_t most) {
  if (!readable() || in_at_ == in_.size()) return false;
  // On the heap and of exactly its size, so that sanitizers see who keeps it.
  const size_t size = std::min(most, in_.size() - in_at_);
  const std::unique_ptr<char[]> chunk(new char[size]);
  std::copy_n(in_.data() + in_at_, size, chunk.get());
  in_at_ += size;
  if (in_at_ == in_.size()) {
    in_.clear();
    in_at_ = 0;
  }
  if (tap_) tap_->on_delivered({chunk.get(), size});
  handler_->on_data({chunk.get(), size});
  world_.scheduler.run_ready();
  return true;
}

void Link::deliver_in() {
  if (stream_closed_ || handler_ == nullptr) return;
  if (breaks_off_ && in_at_ == in_.size()) lost_ = true;
  if (lost_) {
    // A reader that has stopped does not notice.
    if (lost_told_ || (!reading_ && !lost_noticed_)) return;
    lost_told_ = true;
    if (tap_) tap_->on_lost();
    handler_->on_lost("connection reset");
    world_.scheduler.run_ready();
    return;
  }
  const size_t size = piece(habits_.to_proxy, in_.size() - in_at_);
  const size_t each = habits_.to_proxy == Cut::kOctets ? 1 : size;
  for (size_t done = 0; done < size && hand_in(each);) done += each;
  if (!readable()) return;  // start_reading() arms the timer
  if (in_at_ < in_.size() || breaks_off_) {
    arm(in_timer_);
  } else if (in_end_ && !in_end_told_) {
    in_end_told_ = true;
    handler_->on_eof();
    world_.scheduler.run_ready();
  }
}

void Link::deliver_out() {
  if (peer_ == nullptr) {
    out_.clear();
    out_at_ = 0;
  } else if (held_) {
    return;
  } else {
    const size_t size = piece(habits_.from_proxy, out_.size() - out_at_);
    const size_t each = habits_.from_proxy == Cut::kOctets ? 1 : size;
    for (size_t done = 0; done < size && peer_ != nullptr; done += each) hand_out(each);
  }
  if (above_low_ && unsent() <= net::Stream::kLowWatermark) {
    above_low_ = false;
    if (handler_ != nullptr && !lost_) handler_->on_drained();
    world_.scheduler.run_ready();
  }
  if (out_at_ < out_.size()) {
    arm(out_timer_);
  } else if (out_end_ && !out_end_told_ && peer_ != nullptr && !held_) {
    out_end_told_ = true;
    if (aborted_) {
      peer_->on_reset();
    } else {
      peer_->on_end();
    }
  }
}

void Link::hand_out(size_t most) {
  const std::string octets = out_.substr(out_at_, most);
  if (octets.empty()) return;
  out_at_ += octets.size();
  if (out_at_ == out_.size()) {
    out_.clear();
    out_at_ = 0;
  }
  peer_->on_octets(octets);
}

size_t Link::unsent() const {
  const size_t waiting = out_.size() - out_at_;
  return waiting > habits_.window ? (waiting - habits_.window) * habits_.weight : 0;
}

void Link::closed_by_proxy() {
  handler_ = nullptr;
  stream_closed_ = true;
  in_.clear();
  in_at_ = 0;
  in_timer_.stop();
  if (aborted_) {
    out_.clear();
    out_at_ = 0;
  }
  out_end_ = true;
  arm(out_timer_);
  if (tap_) tap_->on_stream_closed();
}

std::shared_ptr<Link> Network::connect(LinkHabits habits, net::PeerFacts facts) {
  return links_.emplace_back(std::make_shared<Link>(world_, habits, std::move(facts)));
}

void Network::sweep() {
  std::erase_if(links_, [](const auto& link) { return link->over() && link.use_count() == 1; });
}

}  // namespace imapmux::simulation
