#include "mailbox/flag_set.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "wire/token_reader.h"

namespace imapmux::mailbox {
namespace {

constexpr std::array<std::string_view, 6> kSystemFlags = {"\\Answered", "\\Flagged", "\\Deleted",
                                                          "\\Seen",     "\\Draft",   "\\Recent"};

// Keywords are compared without regard to case: servers differ in whether they keep it.
bool before(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [](char x, char y) { return base::to_upper(x) < base::to_upper(y); });
}

}  // namespace

bool operator==(const FlagSet& a, const FlagSet& b) {
  return (a.system_ | FlagSet::kRecent) == (b.system_ | FlagSet::kRecent) &&
         std::equal(a.keywords_.begin(), a.keywords_.end(), b.keywords_.begin(), b.keywords_.end(),
                    [](const auto& x, const auto& y) { return base::equals_ignore_case(x, y); });
}

bool FlagSet::add_system(std::string_view flag) {
  for (size_t i = 0; i < kSystemFlags.size(); ++i) {
    if (!base::equals_ignore_case(flag, kSystemFlags[i])) continue;
    system_ = static_cast<uint8_t>(system_ | (1U << i));
    return true;
  }
  return false;
}

// Of those that differ in case only one stays.
void FlagSet::order_keywords() {
  std::sort(keywords_.begin(), keywords_.end(), before);
  const auto same = [](const auto& a, const auto& b) { return base::equals_ignore_case(a, b); };
  keywords_.erase(std::unique(keywords_.begin(), keywords_.end(), same), keywords_.end());
}

void FlagSet::add(std::string_view flag) {
  if (add_system(flag)) return;
  const auto place = std::lower_bound(keywords_.begin(), keywords_.end(), flag, before);
  if (place == keywords_.end() || before(flag, *place)) keywords_.emplace(place, flag);
}

std::optional<FlagSet> FlagSet::parse(std::string_view list) {
  wire::TokenReader reader(list);
  FlagSet set;
  if (!reader.open()) return std::nullopt;
  while (const auto flag = reader.atom())
    if (!set.add_system(*flag)) set.keywords_.emplace_back(*flag);
  set.order_keywords();
  if (!reader.close()) return std::nullopt;
  return set;
}

std::string FlagSet::to_string() const {
  std::string out = "(";
  const auto append = [&](std::string_view flag) {
    if (out.size() > 1) out += ' ';
    out += flag;
  };
  for (size_t i = 0; i < kSystemFlags.size(); ++i)
    if (system_ & (1U << i)) append(kSystemFlags[i]);
  for (const auto& keyword : keywords_) append(keyword);
  return out + ")";
}

FlagSet FlagSet::after(wire::FlagOperation operation, const FlagSet& flags) const {
  FlagSet result = *this;
  switch (operation) {
    case wire::FlagOperation::kReplace:
      result = flags;
      break;
    case wire::FlagOperation::kAdd:
      result.system_ = static_cast<uint8_t>(result.system_ | flags.system_);
      result.keywords_.insert(result.keywords_.end(), flags.keywords_.begin(), flags.keywords_.end());
      result.order_keywords();
      break;
    case wire::FlagOperation::kRemove:
      result.system_ = static_cast<uint8_t>(result.system_ & ~flags.system_);
      std::erase_if(result.keywords_, [&](const std::string& keyword) {
        return std::binary_search(flags.keywords_.begin(), flags.keywords_.end(), keyword, before);
      });
      break;
  }
  // No STORE sets or takes away \Recent.
  result.system_ = static_cast<uint8_t>((result.system_ & ~kRecent) | (system_ & kRecent));
  return result;
}

FlagSet FlagSet::without_recent() const {
  FlagSet result = *this;
  result.system_ = static_cast<uint8_t>(result.system_ & ~kRecent);
  return result;
}

}  // namespace imapmux::mailbox
