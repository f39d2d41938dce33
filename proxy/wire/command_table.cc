#include "wire/command_table.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "wire/word_key.h"

namespace imapmux::wire {
namespace {

constexpr uint8_t kBefore = static_cast<uint8_t>(State::kNotAuthenticated);
constexpr uint8_t kSelectedOnly = static_cast<uint8_t>(State::kSelected);

// The table's columns as words: what a row does not name is not so.
enum Trait : uint8_t {
  kNumbers = 1,     // uses_numbers
  kNoExpunge = 2,   // not may_expunge
  kWrites = 4,      // writes
  kRepeatable = 8,  // repeatable
  kPipelines = 16,  // pipelines
};

constexpr CommandInfo row(Verb verb, std::string_view name, uint8_t states, int traits = 0,
                          Family family = Family::kNone, Opens opens = Opens::kNothing,
                          std::string_view capability = {}) {
  return {.verb = verb,
          .name = name,
          .states = states,
          .uses_numbers = (traits & kNumbers) != 0,
          .may_expunge = (traits & kNoExpunge) == 0,
          .writes = (traits & kWrites) != 0,
          .repeatable = (traits & kRepeatable) != 0,
          .pipelines = (traits & kPipelines) != 0,
          .family = family,
          .opens = opens,
          .capability = capability};
}

constexpr std::string_view kThreads = "THREAD=ORDEREDSUBJECT|THREAD=REFERENCES|THREAD=REFS";
constexpr std::string_view kMetadataNames = "METADATA|METADATA-SERVER";
// SEARCH, SORT and THREAD and their UID forms. SORT and THREAD count as searches: the answers of SEARCH and
// UID SEARCH look the same, and so do those of the other two.
constexpr int kQuery = kNumbers | kRepeatable | kPipelines;

// In the order of Verb.
constexpr std::array kTable = {
    row(Verb::kUnknown, "", 0),

    row(Verb::kCapability, "CAPABILITY", kAnyState),
    row(Verb::kNoop, "NOOP", kAnyState, kRepeatable | kPipelines),
    row(Verb::kLogout, "LOGOUT", kAnyState),
    row(Verb::kId, "ID", kAnyState),

    row(Verb::kStarttls, "STARTTLS", kBefore),
    row(Verb::kAuthenticate, "AUTHENTICATE", kBefore),
    row(Verb::kLogin, "LOGIN", kBefore),

    row(Verb::kEnable, "ENABLE", kAfterLogin),
    row(Verb::kSelect, "SELECT", kAfterLogin, 0, Family::kNone, Opens::kSelect),
    row(Verb::kExamine, "EXAMINE", kAfterLogin, 0, Family::kNone, Opens::kExamine),
    row(Verb::kCreate, "CREATE", kAfterLogin),
    row(Verb::kDelete, "DELETE", kAfterLogin, 0, Family::kNone, Opens::kRestructure),
    row(Verb::kRename, "RENAME", kAfterLogin, 0, Family::kNone, Opens::kRestructure),
    row(Verb::kSubscribe, "SUBSCRIBE", kAfterLogin, kRepeatable),
    row(Verb::kUnsubscribe, "UNSUBSCRIBE", kAfterLogin, kRepeatable),
    row(Verb::kList, "LIST", kAfterLogin, kRepeatable, Family::kList),
    row(Verb::kLsub, "LSUB", kAfterLogin, kRepeatable, Family::kLsub),
    row(Verb::kNamespace, "NAMESPACE", kAfterLogin),
    row(Verb::kStatus, "STATUS", kAfterLogin, kRepeatable, Family::kNone, Opens::kStatus),
    row(Verb::kAppend, "APPEND", kAfterLogin, 0, Family::kNone, Opens::kAppend),
    row(Verb::kIdle, "IDLE", kAfterLogin),

    row(Verb::kGetQuota, "GETQUOTA", kAfterLogin, 0, Family::kQuota, Opens::kNothing, "QUOTA"),
    row(Verb::kGetQuotaRoot, "GETQUOTAROOT", kAfterLogin, 0, Family::kQuota, Opens::kNothing, "QUOTA"),
    row(Verb::kSetQuota, "SETQUOTA", kAfterLogin, 0, Family::kQuota, Opens::kNothing, "QUOTA"),

    row(Verb::kGetAcl, "GETACL", kAfterLogin, 0, Family::kAcl, Opens::kNothing, "ACL"),
    row(Verb::kSetAcl, "SETACL", kAfterLogin, 0, Family::kAcl, Opens::kNothing, "ACL"),
    row(Verb::kDeleteAcl, "DELETEACL", kAfterLogin, 0, Family::kAcl, Opens::kNothing, "ACL"),
    row(Verb::kListRights, "LISTRIGHTS", kAfterLogin, 0, Family::kAcl, Opens::kNothing, "ACL"),
    row(Verb::kMyRights, "MYRIGHTS", kAfterLogin, 0, Family::kAcl, Opens::kNothing, "ACL"),

    row(Verb::kGetMetadata, "GETMETADATA", kAfterLogin, 0, Family::kMetadata, Opens::kNothing,
        kMetadataNames),
    row(Verb::kSetMetadata, "SETMETADATA", kAfterLogin, 0, Family::kMetadata, Opens::kNothing,
        kMetadataNames),

    row(Verb::kCheck, "CHECK", kSelectedOnly, kPipelines),
    // Not a writer: in a mailbox opened by EXAMINE it is allowed and removes nothing (RFC 3501, 6.4.2).
    row(Verb::kClose, "CLOSE", kSelectedOnly),
    row(Verb::kUnselect, "UNSELECT", kSelectedOnly),
    row(Verb::kExpunge, "EXPUNGE", kSelectedOnly, kNumbers | kWrites),
    row(Verb::kSearch, "SEARCH", kSelectedOnly, kQuery | kNoExpunge, Family::kSearch),
    row(Verb::kFetch, "FETCH", kSelectedOnly, kQuery | kNoExpunge),
    row(Verb::kStore, "STORE", kSelectedOnly, kQuery | kNoExpunge | kWrites),
    row(Verb::kCopy, "COPY", kSelectedOnly, kNumbers, Family::kNone, Opens::kCopyTarget),
    row(Verb::kMove, "MOVE", kSelectedOnly, kNumbers | kWrites, Family::kNone, Opens::kCopyTarget, "MOVE"),
    row(Verb::kSort, "SORT", kSelectedOnly, kQuery | kNoExpunge, Family::kSearch, Opens::kNothing, "SORT"),
    row(Verb::kThread, "THREAD", kSelectedOnly, kQuery | kNoExpunge, Family::kSearch, Opens::kNothing,
        kThreads),

    row(Verb::kUidExpunge, "UID EXPUNGE", kSelectedOnly, kNumbers | kWrites, Family::kNone, Opens::kNothing,
        "UIDPLUS"),
    row(Verb::kUidSearch, "UID SEARCH", kSelectedOnly, kQuery, Family::kSearch),
    row(Verb::kUidFetch, "UID FETCH", kSelectedOnly, kQuery),
    row(Verb::kUidStore, "UID STORE", kSelectedOnly, kQuery | kWrites),
    row(Verb::kUidCopy, "UID COPY", kSelectedOnly, 0, Family::kNone, Opens::kCopyTarget),
    row(Verb::kUidMove, "UID MOVE", kSelectedOnly, kNumbers | kWrites, Family::kNone, Opens::kCopyTarget,
        "MOVE"),
    row(Verb::kUidSort, "UID SORT", kSelectedOnly, kQuery, Family::kSearch, Opens::kNothing, "SORT"),
    row(Verb::kUidThread, "UID THREAD", kSelectedOnly, kQuery, Family::kSearch, Opens::kNothing, kThreads),
};

constexpr bool is_ordered_by_verb() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<size_t>(kTable[i].verb) != i) return false;
  }
  return kTable.back().verb == Verb::kUidThread;
}
static_assert(is_ordered_by_verb());

struct NamedVerb {
  uint64_t key;
  std::string_view name;  // without "UID "
  Verb verb;
};

constexpr size_t kUidForms = 8;
static_assert(kTable.size() - kUidForms == static_cast<size_t>(Verb::kUidExpunge));

template <size_t kFirst, size_t kEnd, size_t kPrefix>
constexpr auto sorted_names() {
  std::array<NamedVerb, kEnd - kFirst> names{};
  for (size_t i = kFirst; i < kEnd; ++i) {
    const auto name = kTable[i].name.substr(kPrefix);
    names[i - kFirst] = {key_of(name), name, kTable[i].verb};
  }
  std::sort(names.begin(), names.end(), [](const NamedVerb& a, const NamedVerb& b) { return a.key < b.key; });
  return names;
}
constexpr auto kNames = sorted_names<1, kTable.size() - kUidForms, 0>();
constexpr auto kUidNames = sorted_names<kTable.size() - kUidForms, kTable.size(), 4>();

Verb find_in(std::span<const NamedVerb> names, std::string_view name) {
  const uint64_t key = key_of(name);
  auto found = std::lower_bound(names.begin(), names.end(), key,
                                [](const NamedVerb& named, uint64_t wanted) { return named.key < wanted; });
  for (; found != names.end() && found->key == key; ++found)
    if (base::equals_ignore_case(found->name, name)) return found->verb;
  return Verb::kUnknown;
}

}  // namespace

const CommandInfo& info(Verb verb) {
  const auto index = static_cast<size_t>(verb);
  return kTable[index < kTable.size() ? index : 0];
}

Verb find_verb(std::string_view name, bool uid) {
  return uid ? find_in(kUidNames, name) : find_in(kNames, name);
}

std::span<const CommandInfo> all_commands() {
  return std::span(kTable).subspan(1);
}

}  // namespace imapmux::wire
