#include "backend/take_place.h"

#include "async/wait.h"

namespace imapmux::backend {

using async::Task;
using base::Millis;

namespace {

// The other threads' end of a wait for a place: grants come from whichever thread gave one back.
struct PlaceWait {
  async::Event granted;
};

}  // namespace

Task<std::optional<ConnectionLimit::Permit>> take_place(net::EventLoop& loop,
                                                        std::shared_ptr<ConnectionLimit> limit, Millis most) {
  auto wait = std::make_shared<PlaceWait>();
  auto waiter = std::make_shared<ConnectionLimit::Waiter>();
  waiter->granted = [&loop, weak = std::weak_ptr(wait)] {
    loop.post([weak] {
      if (const auto alive = weak.lock()) alive->granted.set();
    });
  };
  if (limit->acquire(waiter)) co_return ConnectionLimit::Permit(limit);
  std::exception_ptr cancelled;
  try {
    co_await wait->granted.wait_for(most);
  } catch (const async::Cancelled&) {
    cancelled = std::current_exception();
  }
  if (!cancelled && wait->granted.is_set()) co_return ConnectionLimit::Permit(limit);
  limit->withdraw(waiter);
  if (cancelled) std::rethrow_exception(cancelled);
  co_return std::nullopt;
}

}  // namespace imapmux::backend
