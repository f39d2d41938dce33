// What every command means, in one table: in which states it is allowed, whether its answers carry sequence
// numbers, whether EXPUNGE may be sent while it runs, which mailboxes it opens, who may be in flight beside
// it. The one place to look when a command is added; sessions ask it and know no command names of their own.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace imapmux::wire {

enum class Verb : uint8_t {
  kUnknown,
  // any state
  kCapability,
  kNoop,
  kLogout,
  kId,
  // not authenticated
  kStarttls,
  kAuthenticate,
  kLogin,
  // authenticated
  kEnable,
  kSelect,
  kExamine,
  kCreate,
  kDelete,
  kRename,
  kSubscribe,
  kUnsubscribe,
  kList,
  kLsub,
  kNamespace,
  kStatus,
  kAppend,
  kIdle,
  kGetQuota,
  kGetQuotaRoot,
  kSetQuota,
  kGetAcl,
  kSetAcl,
  kDeleteAcl,
  kListRights,
  kMyRights,
  kGetMetadata,
  kSetMetadata,
  // selected
  kCheck,
  kClose,
  kUnselect,
  kExpunge,
  kSearch,
  kFetch,
  kStore,
  kCopy,
  kMove,
  kSort,
  kThread,
  kUidExpunge,
  kUidSearch,
  kUidFetch,
  kUidStore,
  kUidCopy,
  kUidMove,
  kUidSort,
  kUidThread,
};

enum class State : uint8_t { kNotAuthenticated = 1, kAuthenticated = 2, kSelected = 4 };
constexpr uint8_t kAnyState = 7;
constexpr uint8_t kAfterLogin = 6;

// Commands of one family have answers that carry no correlation, and servers reorder: at most one in flight.
enum class Family : uint8_t { kNone, kSearch, kList, kLsub, kQuota, kAcl, kMetadata };

// What a command does to which mailbox; the first argument unless said otherwise.
enum class Opens : uint8_t {
  kNothing,
  kSelect,
  kExamine,
  kStatus,
  kAppend,       // APPEND: first argument
  kCopyTarget,   // COPY, MOVE: second argument
  kRestructure,  // DELETE: first argument, RENAME: both
};

struct CommandInfo {
  Verb verb;
  std::string_view name;  // upper case; "UID FETCH" for the UID forms
  uint8_t states;         // State bits
  bool uses_numbers;      // arguments or answers hold message sequence numbers
  bool may_expunge;  // EXPUNGE may be told while it runs (RFC 3501, 7.4.1): not FETCH, STORE, SEARCH, SORT,
                     // THREAD without UID
  bool writes;       // refused in a mailbox opened by EXAMINE
  bool repeatable;   // may run again after a connection was severed
  bool pipelines;    // the next command may go to the backend before this one is answered
  Family family;
  Opens opens;
  // The backend must list one of these (separated by |); empty: part of IMAP4rev1, or given by the proxy
  // itself.
  std::string_view capability;
};

// Never fails: what is not in the table is kUnknown's entry.
const CommandInfo& info(Verb verb);
// `name` in any case; `uid` where it stood behind UID. kUnknown where there is none.
Verb find_verb(std::string_view name, bool uid);
// Without kUnknown's entry.
std::span<const CommandInfo> all_commands();

}  // namespace imapmux::wire
