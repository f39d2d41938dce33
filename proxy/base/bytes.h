// Small helpers on octets. ASCII only, whatever the locale: protocol text knows no other case rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace imapmux::base {

constexpr char to_upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
}
constexpr char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// Equality of two texts of the same size without regard to ASCII case.
bool same_ignoring_case(std::string_view a, std::string_view b);
// Equality without regard to ASCII case. Most names that are compared differ in size already.
inline bool equals_ignore_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && same_ignoring_case(a, b);
}
// True if `text` begins with `prefix`, without regard to ASCII case.
bool starts_with_ignore_case(std::string_view text, std::string_view prefix);

// Whether there is a control character of ASCII in it.
bool has_control(std::string_view text);

std::string upper(std::string_view text);
std::string lower(std::string_view text);

// Empties it and gives its memory back: text = {} would keep that.
inline void release(std::string& text) {
  std::string().swap(text);
}

// Overwrites the octets with zeros in a way that the compiler does not remove, then empties the string.
// The whole capacity is wiped: a string that shrank may hold older octets behind its end.
void wipe(std::string& secret) noexcept;

// A string that wipes itself. It moves, and does not copy: every copy of a password is one more to find.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(value) { wipe(value); }
  ~Secret() { wipe(value_); }
  // Copies and wipes: a moved-from short string would keep its octets.
  // NOLINTNEXTLINE(performance-move-constructor-init)
  Secret(Secret&& other) noexcept : value_(other.value_) { wipe(other.value_); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe(value_);
      value_ = other.value_;
      wipe(other.value_);
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  std::string_view view() const { return value_; }
  bool empty() const { return value_.empty(); }
  Secret clone() const { return Secret(value_); }
  // For what a reload changes; what somebody shows is judged in constant time elsewhere.
  friend bool operator==(const Secret&, const Secret&) = default;

 private:
  std::string value_;
};

}  // namespace imapmux::base
