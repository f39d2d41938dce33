// Who has connections to a server, or clients whose connection there was closed: while it is drained they may
// open further ones, and nobody else. Its Server's, for as long as the configuration names that server.
// Thread-safe: a mutex, taken when a connection is opened and when it is closed.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace imapmux::backend {

class UsersThere {
  using Entry = std::unordered_map<std::string, uint32_t>::value_type;

 public:
  // Lasts as long as the connection, or as the clients that it was for; may outlive the server.
  class Stay {
   public:
    Stay() = default;
    Stay(Stay&& other) noexcept
        : there_(std::move(other.there_)), entry_(std::exchange(other.entry_, nullptr)) {}
    Stay& operator=(Stay&& other) noexcept {
      std::swap(there_, other.there_);
      std::swap(entry_, other.entry_);
      return *this;
    }
    ~Stay() {
      if (there_) there_->leave(*entry_);
    }
    explicit operator bool() const { return there_ != nullptr; }
    // One more of the same user.
    Stay another() const;

   private:
    friend class UsersThere;
    Stay(std::shared_ptr<UsersThere> there, Entry& entry) : there_(std::move(there)), entry_(&entry) {}
    std::shared_ptr<UsersThere> there_;
    Entry* entry_ = nullptr;
  };
  static Stay enter(const std::shared_ptr<UsersThere>& there, std::string_view login_name);
  bool has(std::string_view login_name) const;

 private:
  void leave(const Entry& entry);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, uint32_t>
      connections_;  // by login name in lower case; they stay where they are
};

}  // namespace imapmux::backend
