#include "probe/verdict.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

namespace imapmux::probe {

namespace {

using config::Conflicts;
using config::MailboxAccess;

// More at once serve nobody better: a mailbox that is open needs one, however many clients look at it.
constexpr uint32_t kEnough = 5;
// Of a limit that all users have together, one gets no more than this.
constexpr uint32_t kFairShare = 2;

// Why a second session that opens the mailbox by these words can't be borne; nothing if it can.
std::optional<std::string> trouble_of(std::string_view what, Beside beside) {
  const std::string subject(what);
  switch (beside) {
    case Beside::kWorks:
      return std::nullopt;
    case Beside::kRefused:
      return subject + " is refused";
    case Beside::kReadOnly:
      return subject + " is read-only";
    case Beside::kSeversFirst:
      return subject + " cuts off the first session";
    case Beside::kSeversSecond:
      return subject + " is cut off";
    case Beside::kUnknown:
      break;
  }
  return subject + " could not be tried";
}

std::optional<std::string> trouble_of(std::string_view what, Beside beside, const Sight& sight) {
  if (auto trouble = trouble_of(what, beside)) return trouble;
  if (!sight.in_step()) return std::string(what) + " gets out of step";
  return std::nullopt;
}

// STATUS goes beside everything but with single-access.
std::optional<std::string> trouble_of_status(Status status) {
  switch (status) {
    case Status::kFine:
    case Status::kComplains:
    case Status::kStaleFlags:
    case Status::kStaleUntilNoop:
      return std::nullopt;
    case Status::kStale:
      return "STATUS of an open mailbox gives old numbers";
    case Status::kSevers:
      return "STATUS cuts off the session that is in the mailbox";
    case Status::kRefused:
      return "STATUS of an open mailbox is refused";
    case Status::kUnknown:
      break;
  }
  return "STATUS of an open mailbox could not be tried";
}

std::optional<std::string> trouble_of_append(Append append) {
  switch (append) {
    case Append::kTold:
    case Append::kNotTold:
      return std::nullopt;
    case Append::kSevers:
      return "APPEND cuts off the session that is in the mailbox";
    case Append::kRefused:
      return "APPEND to an open mailbox is refused";
    case Append::kUnknown:
      break;
  }
  return "APPEND to an open mailbox could not be tried";
}

void judge_conflicts(const Findings& findings, Verdict& verdict) {
  const auto select = trouble_of("a second SELECT", findings.second_select, findings.second_select_sees);
  auto examine = trouble_of("EXAMINE beside a SELECT", findings.examine_beside_select, findings.examine_sees);
  if (!examine) examine = trouble_of("SELECT beside an EXAMINE", findings.select_beside_examine);
  const auto status = trouble_of_status(findings.status_of_other);
  const auto append = trouble_of_append(findings.append);
  if (examine || status) {
    verdict.conflicts = Conflicts::kSingleAccess;
    verdict.why_conflicts = select && examine ? *select : examine ? *examine : *status;
  } else if (select || append) {
    verdict.conflicts = Conflicts::kSingleWriter;
    verdict.why_conflicts = (select ? *select : *append) + "; EXAMINE and STATUS are fine";
  } else {
    verdict.conflicts = Conflicts::kNone;
    verdict.why_conflicts = "sessions in one mailbox stay in step";
  }
}

// Why clients had better share; nothing if each may go its own way.
std::optional<std::string> why_share(const Findings& findings, const Verdict& verdict) {
  if (verdict.conflicts != Conflicts::kNone) return "clients of a user share one session per mailbox";
  if (findings.limit != LimitKind::kNotMet)
    return fmt::format("clients share sessions: {} are all there may be", findings.connections);
  const auto& sight = findings.second_select_sees;
  if (sight.expunged == FetchOfExpunged::kMadeUp)
    return "clients share sessions, and meet no message that is gone";
  if (sight.flags == Told::kNever) return "clients share sessions, and hear of flags";
  // What the session has not been told is not in its numbers: that is Dovecot's way as well.
  const auto own = findings.status_of_own;
  const bool own_is_right =
      own == Status::kFine || own == Status::kComplains || own == Status::kStaleUntilNoop;
  if (!own_is_right || findings.status_of_other == Status::kStaleFlags)
    return "clients share sessions, and get right numbers of STATUS";
  return std::nullopt;
}

void judge_access(const Findings& findings, Verdict& verdict) {
  const auto why = why_share(findings, verdict);
  verdict.access = why ? MailboxAccess::kShared : MailboxAccess::kUnrestricted;
  verdict.why_access = why.value_or("it bears all; shared would need fewer connections");
}

void judge_connections(const Findings& findings, Verdict& verdict) {
  const uint32_t found = std::max(findings.connections, 1U);
  if (verdict.access == MailboxAccess::kUnrestricted) {
    verdict.connections_per_user = 0;
    verdict.why_connections = fmt::format("no limit was met with {}", found);
    return;
  }
  const bool for_all = findings.limit == LimitKind::kConnection;
  verdict.connections_per_user = std::min(found, for_all ? kFairShare : kEnough);
  verdict.why_connections = findings.limit == LimitKind::kNotMet
                                ? fmt::format("enough; no limit was met with {}", found)
                                : fmt::format("the server lets {} in", found);
  if (findings.limit == LimitKind::kLogin) verdict.why_connections += " per user";
  if (!for_all) return;
  verdict.max_connections = found;
  verdict.why_max_connections = "of all users together: they come from one address";
}

void judge_uid_next(const Findings& findings, Verdict& verdict) {
  const bool sticky = findings.uid_next == UidNext::kSticky;
  verdict.uid_next = sticky ? config::UidNext::kSticky : config::UidNext::kUnreliable;
  verdict.why_uid_next = sticky                                           ? "no UID is given twice"
                         : findings.uid_next == UidNext::kGoesBack        ? "UIDs are given again"
                         : findings.uid_next == UidNext::kValidityChanges ? "UIDVALIDITY does not last"
                                                                          : "could not be found out";
}

}  // namespace

Verdict judge(const Findings& findings) {
  Verdict verdict;
  judge_conflicts(findings, verdict);
  judge_access(findings, verdict);
  judge_connections(findings, verdict);
  judge_uid_next(findings, verdict);
  return verdict;
}

}  // namespace imapmux::probe
