// How many clients there are by a key (an address, a user), for limits per key. One per limit for the whole
// process, in Shared. Thread-safe: a mutex, taken when a client comes and when it goes. A key without clients
// takes no memory.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace imapmux::session {

class ClientCounts {
  using Entry = std::unordered_map<std::string, uint64_t>::value_type;

 public:
  // One client's place under its key; given back when it is destroyed. Empty: not counted.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept
        : counts_(std::exchange(other.counts_, nullptr)), entry_(std::exchange(other.entry_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(counts_, other.counts_);
      std::swap(entry_, other.entry_);
      return *this;
    }
    ~Place() {
      if (counts_) counts_->give_back(*entry_);
    }

   private:
    friend class ClientCounts;
    Place(ClientCounts& counts, Entry& entry) : counts_(&counts), entry_(&entry) {}
    ClientCounts* counts_ = nullptr;
    Entry* entry_ = nullptr;
  };

  // Nothing if there are `most` clients under this key already. 0 = no limit.
  std::optional<Place> take(std::string key, uint64_t most);
  size_t keys() const;

 private:
  void give_back(const Entry& entry);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, uint64_t> clients_;  // its entries stay where they are
};

}  // namespace imapmux::session
