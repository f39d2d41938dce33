// Tells those who wait in a list, when this ends, however their work ends: `tell` is called for each that is
// left.
#pragma once

namespace imapmux::mailbox {

template <class List, class Tell>
class TellAll {
 public:
  TellAll(List& list, Tell tell) : list_(list), tell_(tell) {}
  ~TellAll() { list_.for_each(tell_); }
  TellAll(const TellAll&) = delete;
  TellAll& operator=(const TellAll&) = delete;

 private:
  List& list_;
  Tell tell_;
};

}  // namespace imapmux::mailbox
