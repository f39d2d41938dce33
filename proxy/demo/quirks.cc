#include "demo/quirks.h"

#include <utility>

namespace imapmux::demo {

uint64_t Violations::total() const {
  return second_select + second_examine + status_of_selected_by_other + status_of_own +
         append_or_copy_to_selected_by_other + delete_or_rename_of_selected + over_user_limit +
         over_address_limit;
}

void Violations::record(std::atomic<uint64_t>& counter, std::string text) {
  ++counter;
  std::lock_guard lock(mutex_);
  if (texts_.size() < kMaxTexts) texts_.push_back(std::move(text));
}

std::vector<std::string> Violations::texts() const {
  std::lock_guard lock(mutex_);
  return texts_;
}

void Violations::reset() {
  for (auto* counter : {&second_select, &second_examine, &status_of_selected_by_other, &status_of_own,
                        &append_or_copy_to_selected_by_other, &delete_or_rename_of_selected, &over_user_limit,
                        &over_address_limit}) {
    *counter = 0;
  }
  std::lock_guard lock(mutex_);
  texts_.clear();
}

}  // namespace imapmux::demo
