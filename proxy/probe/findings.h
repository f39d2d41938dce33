// What a probe has found out: values for the verdict and the stanza, and rows for people. kUnknown is never a
// good sign.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/capabilities.h"
#include "probe/transcript.h"

namespace imapmux::probe {

// What comes of opening a mailbox that another session has open.
enum class Beside : uint8_t {
  kUnknown,
  kWorks,
  kRefused,
  kReadOnly,      // a SELECT that gets READ-ONLY
  kSeversFirst,   // the session that was there first loses its connection
  kSeversSecond,  // the one that came second does, or waits in vain
};

// When a session hears of what another one has done.
enum class Told : uint8_t { kUnknown, kAtNoop, kLater /* with a NOOP a second later */, kNever };

// What FETCH gives of a message that another session has expunged, before this one was told.
enum class FetchOfExpunged : uint8_t { kUnknown, kNothing, kRefused, kServed, kMadeUp };

// What a session in a mailbox sees of the changes of another.
struct Sight {
  Told flags = Told::kUnknown;
  Told expunge = Told::kUnknown;
  FetchOfExpunged expunged = FetchOfExpunged::kUnknown;
  bool right_message = false;  // afterwards a UID still gives the message that it gave before
  std::string lost;            // it lost its connection meanwhile; empty: it has not

  bool in_step() const {
    return lost.empty() && right_message && (expunge == Told::kAtNoop || expunge == Told::kLater);
  }
};

enum class Status : uint8_t {
  kUnknown,
  kFine,
  kComplains,   // right numbers, and a word about the client's bug
  kStaleFlags,  // UNSEEN is old
  kStaleUntilNoop,
  kStale,
  kSevers,  // the session that has the mailbox open loses its connection
  kRefused,
};

enum class Append : uint8_t { kUnknown, kTold, kNotTold, kSevers, kRefused };

enum class UidNext : uint8_t { kUnknown, kSticky, kGoesBack, kValidityChanges };

enum class NameCase : uint8_t { kUnknown, kNoLetters, kMatters, kSameUser, kOtherUser };

enum class LimitKind : uint8_t {
  kUnknown,
  kNotMet,
  kLogin,       // one more login is refused: a limit per user
  kConnection,  // one more connection is turned away: a limit per address, or of the server
};

struct Row {
  std::string key;       // for machines
  std::string question;  // for people
  std::string answer;    // in plain words
  Evidence evidence;
};

struct Findings {
  std::string greeting;
  backend::Capabilities before_login;
  backend::Capabilities after_login;
  std::string mailbox;  // the one it worked in
  bool mailbox_deleted = false;
  std::vector<std::string> shared_namespaces;

  LimitKind limit = LimitKind::kUnknown;
  uint32_t connections = 0;  // at once

  Beside second_select = Beside::kUnknown;
  Sight second_select_sees;
  Beside examine_beside_select = Beside::kUnknown;
  Sight examine_sees;
  Beside select_beside_examine = Beside::kUnknown;
  Status status_of_other = Status::kUnknown;
  Status status_of_own = Status::kUnknown;
  Append append = Append::kUnknown;
  UidNext uid_next = UidNext::kUnknown;
  NameCase name_case = NameCase::kUnknown;

  std::vector<Row> rows;
  std::vector<std::string> notes;  // what else the operator should know
};

}  // namespace imapmux::probe
