// A doubly linked list whose nodes live in the objects themselves: no allocation, and a node unlinks itself
// when it is destroyed. Single-threaded.
#pragma once

#include <cstddef>

namespace imapmux::base {

class ListNode {
 public:
  ListNode() = default;
  ~ListNode() { unlink(); }
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (!linked()) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

 private:
  template <class T>
  friend class IntrusiveList;
  ListNode* next_ = nullptr;
  ListNode* previous_ = nullptr;
};

// T derives from ListNode. The list does not own its elements; it must be empty or outlive their linking.
template <class T>
class IntrusiveList {
 public:
  IntrusiveList() { head_.next_ = head_.previous_ = &head_; }
  ~IntrusiveList() {
    while (!empty()) head_.next_->unlink();
    head_.next_ = head_.previous_ = nullptr;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return head_.next_ == &head_; }
  // Calls f(const T&) for each.
  template <class F>
  void for_each(F f) const {
    for (const ListNode* node = head_.next_; node != &head_; node = node->next_)
      f(*static_cast<const T*>(node));
  }
  T& front() { return *static_cast<T*>(head_.next_); }
  // A node that is in another list leaves it.
  void push_back(T& element) {
    ListNode& node = element;
    node.unlink();
    node.previous_ = head_.previous_;
    node.next_ = &head_;
    head_.previous_->next_ = &node;
    head_.previous_ = &node;
  }
  T* pop_front() {
    if (empty()) return nullptr;
    T* first = &front();
    static_cast<ListNode*>(first)->unlink();
    return first;
  }
  // Calls f(T&) for each; f may unlink the element it is given, and no other.
  template <class F>
  void for_each(F f) {
    for (ListNode* node = head_.next_; node != &head_;) {
      ListNode* next = node->next_;
      f(*static_cast<T*>(node));
      node = next;
    }
  }
  size_t size() const {
    size_t count = 0;
    for (const ListNode* node = head_.next_; node != &head_; node = node->next_) ++count;
    return count;
  }

 private:
  ListNode head_;
};

}  // namespace imapmux::base
