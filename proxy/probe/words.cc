#include "probe/words.h"

namespace imapmux::probe {

namespace {

std::string_view when(Told told) {
  switch (told) {
    case Told::kAtNoop:
      return "told with the next NOOP";
    case Told::kLater:
      return "told with a NOOP a second later";
    case Told::kNever:
      return "never told";
    case Told::kUnknown:
      break;
  }
  return "not found out";
}

std::string_view of_expunged(FetchOfExpunged fetched) {
  switch (fetched) {
    case FetchOfExpunged::kNothing:
      return "; until then a FETCH of the message gives nothing";
    case FetchOfExpunged::kRefused:
      return "; until then a FETCH of the message is refused";
    case FetchOfExpunged::kServed:
      return "; until then a FETCH still gives the message";
    case FetchOfExpunged::kMadeUp:
      return "; until then a FETCH gives another text for the message";
    case FetchOfExpunged::kUnknown:
      break;
  }
  return "";
}

}  // namespace

std::string words(const Sight& sight) {
  if (!sight.lost.empty()) return "the session that looks on is cut off: " + sight.lost;
  std::string out(when(sight.expunge));
  if (sight.expunge != Told::kNever) out += of_expunged(sight.expunged);
  out.append("; flags ").append(when(sight.flags));
  if (!sight.right_message) out += "; afterwards a UID gives another message, or none";
  return out;
}

std::string_view name_of(Beside value) {
  switch (value) {
    case Beside::kWorks:
      return "works";
    case Beside::kRefused:
      return "refused";
    case Beside::kReadOnly:
      return "read-only";
    case Beside::kSeversFirst:
      return "severs-first";
    case Beside::kSeversSecond:
      return "severs-second";
    case Beside::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view name_of(Told value) {
  switch (value) {
    case Told::kAtNoop:
      return "at-noop";
    case Told::kLater:
      return "later";
    case Told::kNever:
      return "never";
    case Told::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view name_of(FetchOfExpunged value) {
  switch (value) {
    case FetchOfExpunged::kNothing:
      return "nothing";
    case FetchOfExpunged::kRefused:
      return "refused";
    case FetchOfExpunged::kServed:
      return "served";
    case FetchOfExpunged::kMadeUp:
      return "made-up";
    case FetchOfExpunged::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view name_of(Status value) {
  switch (value) {
    case Status::kFine:
      return "fine";
    case Status::kComplains:
      return "complains";
    case Status::kStaleFlags:
      return "stale-flags";
    case Status::kStaleUntilNoop:
      return "stale-until-noop";
    case Status::kStale:
      return "stale";
    case Status::kSevers:
      return "severs";
    case Status::kRefused:
      return "refused";
    case Status::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view name_of(Append value) {
  switch (value) {
    case Append::kTold:
      return "told";
    case Append::kNotTold:
      return "not-told";
    case Append::kSevers:
      return "severs";
    case Append::kRefused:
      return "refused";
    case Append::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view name_of(UidNext value) {
  switch (value) {
    case UidNext::kSticky:
      return "sticky";
    case UidNext::kGoesBack:
      return "goes-back";
    case UidNext::kValidityChanges:
      return "uidvalidity-changes";
    case UidNext::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view name_of(NameCase value) {
  switch (value) {
    case NameCase::kNoLetters:
      return "no-letters";
    case NameCase::kMatters:
      return "matters";
    case NameCase::kSameUser:
      return "same-user";
    case NameCase::kOtherUser:
      return "other-user";
    case NameCase::kUnknown:
      break;
  }
  return "unknown";
}

std::string_view name_of(LimitKind value) {
  switch (value) {
    case LimitKind::kNotMet:
      return "not-met";
    case LimitKind::kLogin:
      return "login";
    case LimitKind::kConnection:
      return "connection";
    case LimitKind::kUnknown:
      break;
  }
  return "unknown";
}

}  // namespace imapmux::probe
