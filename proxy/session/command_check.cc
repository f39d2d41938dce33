#include "session/command_check.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/bytes.h"
#include "wire/search_keys.h"
#include "wire/sequence_set.h"

namespace imapmux::session {
namespace {

using wire::TokenReader;
using wire::Verb;
using Problem = std::optional<std::string>;

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view candidate) { return base::equals_ignore_case(name, candidate); });
}

// A mailbox name. The reader takes what stands between brackets for a part of an atom, as in FETCH items; in
// a name that would hide arguments from us.
bool name(TokenReader& reader) {
  const auto token = reader.peek();
  if (!token || token->kind == wire::Token::Kind::kOpen || token->kind == wire::Token::Kind::kClose)
    return false;
  if (token->kind == wire::Token::Kind::kAtom &&
      token->value.find_first_of(" ()\"") != std::string_view::npos)
    return false;
  return reader.astring().has_value();
}

Problem no_more(TokenReader& reader, std::string_view what) {
  if (reader.at_end()) return std::nullopt;
  return std::string(what);
}

Problem one_name(TokenReader reader) {
  if (!name(reader)) return "A mailbox name is missing";
  // SELECT x (CONDSTORE), CREATE x (USE (…)): extensions that are not offered.
  return no_more(reader, "Parameters are not supported here");
}

Problem two_names(TokenReader reader) {
  if (!name(reader) || !reader.space() || !name(reader)) return "Two names are needed";
  return no_more(reader, "Too many arguments");
}

Problem nothing(const TokenReader& reader) {
  if (reader.at_end()) return std::nullopt;
  return "This command takes no arguments";
}

// Every token can be read.
Problem anything(TokenReader reader) {
  while (!reader.at_end()) {
    if (!reader.skip_value()) return "The arguments are malformed";
    if (!reader.at_end() && !reader.space()) return "The arguments are malformed";
  }
  return std::nullopt;
}

bool sequence_set(TokenReader& reader) {
  const auto atom = reader.atom();
  return atom && wire::SequenceSet::is_valid(*atom);
}

Problem set_only(TokenReader reader) {
  if (!sequence_set(reader)) return "A sequence set is missing";
  return no_more(reader, "Too many arguments");
}

Problem set_and_name(TokenReader reader) {
  if (!sequence_set(reader) || !reader.space() || !name(reader))
    return "A sequence set and a mailbox name are needed";
  return no_more(reader, "Too many arguments");
}

bool fetch_item(std::string_view item, bool alone) {
  if (alone && one_of(item, {"ALL", "FULL", "FAST"})) return true;
  if (one_of(item, {"ENVELOPE", "FLAGS", "INTERNALDATE", "RFC822", "RFC822.HEADER", "RFC822.SIZE",
                    "RFC822.TEXT", "BODY", "BODYSTRUCTURE", "UID"}))
    return true;
  const auto bracket = item.find('[');
  if (bracket == std::string_view::npos) return false;
  return one_of(item.substr(0, bracket), {"BODY", "BODY.PEEK", "BINARY", "BINARY.PEEK", "BINARY.SIZE"});
}

Problem fetch(TokenReader reader) {
  if (!sequence_set(reader) || !reader.space()) return "FETCH takes a sequence set and items";
  if (!reader.open()) {
    const auto item = reader.atom();
    if (!item || !fetch_item(*item, true)) return "Unknown FETCH item";
    return no_more(reader, "FETCH modifiers are not supported");  // CHANGEDSINCE
  }
  do {
    const auto item = reader.atom();
    if (!item || !fetch_item(*item, false)) return "Unknown FETCH item";
  } while (reader.space());
  if (!reader.close()) return "FETCH items end with a parenthesis";
  return no_more(reader, "FETCH modifiers are not supported");
}

Problem store(TokenReader reader) {
  if (!sequence_set(reader) || !reader.space()) return "STORE takes a sequence set, an item and flags";
  const auto item = reader.atom();  // not "(UNCHANGEDSINCE …)"
  if (!item ||
      !one_of(*item, {"FLAGS", "FLAGS.SILENT", "+FLAGS", "+FLAGS.SILENT", "-FLAGS", "-FLAGS.SILENT"}))
    return "Unknown STORE item";
  if (!reader.space() || reader.at_end()) return "STORE takes flags";
  return anything(TokenReader(reader.rest()));
}

Problem search(const wire::Command& command, wire::SearchForm form) {
  const auto keys = wire::parse_search(command.arguments(), form);
  if (!keys.problem.empty()) return keys.problem;
  // SAVE would keep a result on the connection, for whoever uses it next.
  for (const auto& option : keys.return_options)
    if (!one_of(option, {"MIN", "MAX", "ALL", "COUNT"})) return "This RETURN option is not supported";
  return std::nullopt;
}

Problem status(TokenReader reader) {
  if (!name(reader) || !reader.space() || !reader.open()) return "STATUS takes a mailbox name and items";
  do {
    const auto item = reader.atom();
    if (!item || !one_of(*item, {"MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED"}))
      return "Unknown STATUS item";
  } while (reader.space());
  if (!reader.close()) return "STATUS items end with a parenthesis";
  return no_more(reader, "Too many arguments");
}

bool options(TokenReader& reader, std::initializer_list<std::string_view> known) {
  if (!reader.open()) return false;
  if (reader.close()) return true;
  do {
    const auto option = reader.atom();
    if (!option || !one_of(*option, known)) return false;
  } while (reader.space());
  return reader.close();
}

bool patterns(TokenReader& reader) {
  if (!reader.open()) return name(reader);
  do {
    if (!name(reader)) return false;
  } while (reader.space());
  return reader.close();
}

// RFC 5258, without RETURN (STATUS …), which opens mailboxes that nobody has a lease of (RFC 5819).
Problem list(TokenReader reader) {
  if (const auto first = reader.peek(); first && first->kind == wire::Token::Kind::kOpen) {
    if (!options(reader, {"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"}) || !reader.space())
      return "This LIST selection option is not supported";
  }
  if (!name(reader) || !reader.space() || !patterns(reader)) return "LIST takes a reference and a pattern";
  if (reader.at_end()) return std::nullopt;
  if (!reader.space()) return "Malformed LIST";
  const auto word = reader.atom();
  if (!word || !base::equals_ignore_case(*word, "RETURN") || !reader.space() ||
      !options(reader, {"SUBSCRIBED", "CHILDREN", "SPECIAL-USE"}))
    return "This LIST return option is not supported";
  return no_more(reader, "Too many arguments");
}

// APPEND box [(flags)] ["date"]: what stands before the literal. No CATENATE, no UTF8.
Problem append(TokenReader reader) {
  if (!name(reader)) return "A mailbox name is missing";
  if (!reader.space()) return "APPEND takes a literal";
  while (!reader.at_end()) {
    const auto token = reader.peek();
    if (!token || token->kind == wire::Token::Kind::kAtom) return "This form of APPEND is not supported";
    if (!reader.skip_value()) return "The arguments are malformed";
    if (!reader.space()) return "APPEND takes a literal";
  }
  return std::nullopt;
}

}  // namespace

Problem problem_with(const wire::Command& command) {
  const auto reader = command.reader();
  switch (command.verb) {
    case Verb::kCapability:
    case Verb::kNoop:
    case Verb::kLogout:
    case Verb::kNamespace:
    case Verb::kIdle:
    case Verb::kCheck:
    case Verb::kClose:
    case Verb::kUnselect:
    case Verb::kExpunge:
      return nothing(reader);
    case Verb::kSelect:
    case Verb::kExamine:
    case Verb::kCreate:
    case Verb::kDelete:
    case Verb::kSubscribe:
    case Verb::kUnsubscribe:
      return one_name(reader);
    case Verb::kRename:
      return two_names(reader);
    case Verb::kList:
      return list(reader);
    case Verb::kLsub:
      return two_names(reader);
    case Verb::kStatus:
      return status(reader);
    case Verb::kAppend:
      return append(reader);
    case Verb::kFetch:
    case Verb::kUidFetch:
      return fetch(reader);
    case Verb::kStore:
    case Verb::kUidStore:
      return store(reader);
    case Verb::kCopy:
    case Verb::kUidCopy:
    case Verb::kMove:
    case Verb::kUidMove:
      return set_and_name(reader);
    case Verb::kUidExpunge:
      return set_only(reader);
    case Verb::kSearch:
    case Verb::kUidSearch:
      return search(command, wire::SearchForm::kSearch);
    case Verb::kSort:
    case Verb::kUidSort:
      return search(command, wire::SearchForm::kSort);
    case Verb::kThread:
    case Verb::kUidThread:
      return search(command, wire::SearchForm::kThread);
    default:
      return anything(reader);
  }
}

bool is_append_part(std::string_view text) {
  TokenReader reader(text);
  if (!reader.space()) return false;
  while (!reader.at_end()) {
    const auto token = reader.peek();
    if (!token || (token->kind != wire::Token::Kind::kOpen && token->kind != wire::Token::Kind::kQuoted))
      return false;
    if (!reader.skip_value() || !reader.space()) return false;
  }
  return true;
}

bool names_messages_by_number(const wire::Command& command) {
  const auto keys = [&](wire::SearchForm form) {
    return !wire::parse_search(command.arguments(), form).number_sets.empty();
  };
  switch (command.verb) {
    case Verb::kFetch:
    case Verb::kStore:
    case Verb::kSearch:
    case Verb::kSort:
    case Verb::kThread:
    case Verb::kCopy:
    case Verb::kMove:
      return true;
    case Verb::kUidSearch:
      return keys(wire::SearchForm::kSearch);
    case Verb::kUidSort:
      return keys(wire::SearchForm::kSort);
    case Verb::kUidThread:
      return keys(wire::SearchForm::kThread);
    default:
      return false;
  }
}

std::vector<std::string> opened_mailboxes(const wire::Command& command) {
  std::vector<std::string> names;
  auto reader = command.reader();
  const auto opens = wire::info(command.verb).opens;
  if (opens == wire::Opens::kNothing) return names;
  if (opens == wire::Opens::kCopyTarget && (!reader.skip_value() || !reader.space())) return names;
  if (auto name = reader.astring()) names.push_back(std::move(*name));
  if (command.verb == Verb::kRename && reader.space())
    if (auto name = reader.astring()) names.push_back(std::move(*name));
  return names;
}

std::vector<std::string> status_items(const wire::Command& command) {
  std::vector<std::string> items;
  auto reader = command.reader();
  if (!reader.astring() || !reader.space() || !reader.open()) return items;
  while (const auto item = reader.atom()) {
    items.push_back(base::upper(*item));
    if (!reader.space()) break;
  }
  return items;
}

}  // namespace imapmux::session
