// The clients that have a mailbox open, counted by what they want of it: what is asked for every command must
// not cost more where they are many.
//
// Part of a SharedMailbox, on its thread. A Viewer belongs to its session, which leaves the mailbox before it
// goes.
#pragma once

#include <cassert>

#include "mailbox/mailbox_view.h"
#include "mailbox/shared_connection.h"

namespace imapmux::mailbox {

// A client that has the mailbox open.
class Viewer : public Party, public base::ListNode {
 public:
  MailboxView view;
  bool read_only = false;       // opened by EXAMINE; not changed while it is open
  bool told_read_only = false;  // opened by SELECT, but told that it can't write (now)
  bool could_write = false;     // it was told [READ-WRITE] once
  bool idling = false;          // wants to hear of what changes at once
  uint32_t recent_told = 0;
  uint32_t flags_told = 0;  // version of FLAGS and PERMANENTFLAGS
  // Something changed. Called while `idling`, from no other call of the viewer's.
  virtual void on_news() noexcept = 0;
  // What the client was told is not true any more, and there is no way to tell it: it gets BYE.
  virtual void on_mailbox_changed_identity() noexcept = 0;

 protected:
  ~Viewer() = default;
};

class Viewers {
 public:
  void add(Viewer& viewer) {
    assert(!viewer.linked());
    list_.push_back(viewer);
    ++count_;
    if (!viewer.read_only) ++writers_;
  }
  void remove(Viewer& viewer) {
    assert(viewer.linked());
    end_idle(viewer);
    viewer.unlink();
    --count_;
    if (!viewer.read_only) --writers_;
  }
  void begin_idle(Viewer& viewer) {
    if (viewer.linked() && !std::exchange(viewer.idling, true)) ++idlers_;
  }
  void end_idle(Viewer& viewer) {
    if (std::exchange(viewer.idling, false)) --idlers_;
  }

  size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  bool any_writes() const { return writers_ > 0; }
  bool any_idles() const { return idlers_ > 0; }
  size_t idlers() const { return idlers_; }
  // Calls f(Viewer&); it may remove the one that it is given, and no other.
  template <class F>
  void for_each(F f) {
    list_.for_each(f);
  }
  template <class F>
  void for_each(F f) const {
    list_.for_each(f);
  }

 private:
  base::IntrusiveList<Viewer> list_;
  size_t count_ = 0;
  size_t writers_ = 0;
  size_t idlers_ = 0;
};

}  // namespace imapmux::mailbox
