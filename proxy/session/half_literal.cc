#include "session/half_literal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

namespace imapmux::session {
namespace {

// The last word: "UID 8 BODY[TEXT] " → "BODY[TEXT]".
std::string_view name_before(std::string_view text) {
  while (text.ends_with(' ')) text.remove_suffix(1);
  const auto at = text.find_last_of(" (");
  return at == std::string_view::npos ? text : text.substr(at + 1);
}

}  // namespace

struct HalfLiteral::Hash {
  Hash() { begin(); }
  void begin() { XXH3_128bits_reset(&state); }
  void add(std::string_view octets) { XXH3_128bits_update(&state, octets.data(), octets.size()); }
  bool equals(const Hash& other) const {
    return XXH128_isEqual(XXH3_128bits_digest(&state), XXH3_128bits_digest(&other.state)) != 0;
  }
  XXH3_state_t state{};
};

HalfLiteral::HalfLiteral() = default;
HalfLiteral::~HalfLiteral() = default;

void HalfLiteral::begin(uint32_t uid, std::string_view text, const backend::LiteralStart& literal) {
  uid_ = uid;
  ordinal_ = 0;
  set(text, literal);
}

void HalfLiteral::next(std::string_view text, const backend::LiteralStart& literal) {
  set(text, literal);
}

void HalfLiteral::set(std::string_view text, const backend::LiteralStart& literal) {
  ++ordinal_;
  name_ = name_before(text);
  size_ = literal.size;
  passed_ = 0;
  replaying_ = false;
  if (!hash_) hash_ = std::make_unique<Hash>();
  hash_->begin();
}

void HalfLiteral::passed(std::string_view octets) {
  passed_ += octets.size();
  hash_->add(octets);
}

void HalfLiteral::replay() {
  replaying_ = true;
  replayed_literals_ = 0;
  replayed_ = 0;
  replayed_hash_ = std::make_unique<Hash>();
}

HalfLiteral::Verdict HalfLiteral::replay_literal(std::string_view text,
                                                 const backend::LiteralStart& literal) {
  if (++replayed_literals_ < ordinal_) return Verdict::kGoesOn;
  const bool same = name_before(text) == name_ && literal.size == size_;
  if (same && passed_ == 0) replaying_ = false;
  return same ? Verdict::kGoesOn : Verdict::kDiffers;
}

HalfLiteral::Verdict HalfLiteral::replay_octets(std::string_view octets, std::string_view& rest) {
  rest = {};
  if (replayed_literals_ < ordinal_) return Verdict::kGoesOn;
  const auto known =
      octets.substr(0, static_cast<size_t>(std::min<uint64_t>(octets.size(), passed_ - replayed_)));
  replayed_ += known.size();
  replayed_hash_->add(known);
  if (replayed_ < passed_) return Verdict::kGoesOn;
  replaying_ = false;
  const bool same = replayed_hash_->equals(*hash_);
  replayed_hash_.reset();
  rest = octets.substr(known.size());
  return same ? Verdict::kGoesOn : Verdict::kDiffers;
}

}  // namespace imapmux::session
