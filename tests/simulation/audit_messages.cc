// SessionAudit: what is said of messages, by EXISTS, EXPUNGE, FETCH and SEARCH.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "simulation/session_audit.h"

namespace imapmux::simulation {

using wire::Verb;

namespace {

constexpr std::string_view kBlankLine = "\r\n\r\n";

std::string_view header_of(std::string_view mail) {
  return mail.substr(0, mail.find(kBlankLine) + kBlankLine.size());
}
std::string_view text_of(std::string_view mail) {
  return mail.substr(mail.find(kBlankLine) + kBlankLine.size());
}

}  // namespace

void SessionAudit::on_exists(uint32_t number) {
  auto& box = *subject();
  box.exists_told = true;
  if (auto problem = box.picture.told_exists(number)) {
    fail(*problem);
    return;
  }
  if (number >= box.history->uid_next())
    fail(fmt::format("{} EXISTS, and there never were more than {}", number, box.history->uid_next() - 1));
}

// RFC 3501, 7.4.1.
void SessionAudit::on_expunge(uint32_t number) {
  auto& box = *subject();
  bool may = false;
  for (const auto& running : running_) {
    const auto& command = *running.command;
    if (running.begun_at_proxy(delivered_) && command.verb != Verb::kClose) may = true;
    if (running.is_delivered() && command.is({Verb::kFetch, Verb::kStore, Verb::kSearch}))
      fail(fmt::format("{} EXPUNGE while {} {} is not answered", number, command.tag, command.info().name));
  }
  if (!may) fail("EXPUNGE, and no command is in progress that it may come with");
  if (auto problem = box.picture.told_number(number)) {
    fail(*problem);
    return;
  }
  const uint32_t uid = box.picture.at(number).uid;
  const auto* mail = box.history->find(uid);
  if (mail && mail->alive()) fail(fmt::format("{} EXPUNGE, but UID {} is still there", number, uid));
  box.picture.told_expunge(number);
}

// Which message the response is of, as far as that can be known. Null: unknown, or wrong.
const Mail* SessionAudit::identify(OpenMailbox& box, uint32_t number, const FetchData& data) {
  auto& picture = box.picture;
  if (data.uid) {
    if (!box.history->find(*data.uid)) {
      fail(fmt::format("message {} is UID {}, which never was there", number, *data.uid));
      return nullptr;
    }
    if (auto problem = picture.told_uid(number, *data.uid)) {
      fail(*problem);
      return nullptr;
    }
  } else if (picture.at(number).uid == 0) {
    for (const auto& [name, value] : data.items) {
      const std::string text = find_token(value);
      if (text.empty()) continue;
      const auto& uids = box.history->with_token(text);
      if (uids.empty()) fail(fmt::format("message {} is {}, which never was in this mailbox", number, text));
      if (uids.size() == 1) judge(picture.told_uid(number, uids.front()));
      break;
    }
  }
  return box.history->find(picture.at(number).uid);
}

void SessionAudit::check_contents(const Mail& mail, uint32_t number, const FetchData& data) {
  for (const auto& [name, value] : data.items) {
    std::optional<std::string_view> expected;
    if (name == "BODY[]" || name == "RFC822") expected = mail.octets();
    if (name == "BODY[HEADER]" || name == "RFC822.HEADER") expected = header_of(mail.octets());
    if (name == "BODY[TEXT]" || name == "RFC822.TEXT") expected = text_of(mail.octets());
    const std::string size = std::to_string(mail.octets().size());
    if (name == "RFC822.SIZE") expected = size;
    const std::string text = find_token(value);
    if ((expected && *expected != value) || (!text.empty() && text != mail.token))
      fail(fmt::format("message {} (UID {}) is {}, but its {} is not", number, mail.uid(), mail.token, name));
  }
}

void SessionAudit::on_fetch(uint32_t number, std::string_view arguments) {
  auto& box = *subject();
  const auto data = parse_fetch(arguments);
  if (!data) {
    fail("a malformed FETCH response");
    return;
  }
  if (auto problem = box.picture.told_number(number)) {
    fail(*problem);
    return;
  }
  const auto wants_uid = [](const Running& running) {
    const auto& command = *running.command;
    return running.is_delivered() &&
           (command.by_uid() || std::ranges::find(command.items, "UID") != command.items.end());
  };
  if (data->uid && std::ranges::none_of(running_, wants_uid)) fail("a UID that nobody asked for");
  const auto* mail = identify(box, number, *data);
  auto& message = box.picture.at(number);
  if (mail) check_contents(*mail, number, *data);
  if (data->flags) {
    if (mail) {
      const auto since = mail->had(*data->flags, message.flags_told);
      if (since) {
        message.flags_told = *since;
      } else {
        fail(fmt::format("message {} (UID {}) did not have the flags ({}) since they were told last", number,
                         mail->uid(), fmt::join(*data->flags, " ")));
      }
    }
    message.flags = data->flags;
  }
  note_answer(number, message.id, *data);
}

// Whose answer it is.
void SessionAudit::note_answer(uint32_t number, uint64_t id, const FetchData& data) {
  const auto means = [&](const Running& running) {
    return running.is_delivered() &&
           std::ranges::find(running.addressed, id, &Running::Addressed::id) != running.addressed.end();
  };
  auto* first = oldest();
  if (first && data.flags && first->command->silent && means(*first)) first->told.insert(id);
  for (auto& running : running_) {
    const auto& command = *running.command;
    if (!running.is_delivered() || running.answered.contains(id)) continue;
    if (command.by_uid() && !data.uid) continue;
    if (command.is({Verb::kFetch, Verb::kUidFetch})) {
      if (!std::ranges::all_of(command.items, [&](const auto& item) { return data.has(item); })) continue;
    } else if (!command.is({Verb::kStore, Verb::kUidStore}) || command.silent || !data.flags) {
      continue;
    }
    // One that came meanwhile may be meant by "*".
    const bool new_one = number > running.exists;
    if (!means(running) && !new_one) continue;
    running.answered.insert(id);
    return;
  }
}

void SessionAudit::on_search(std::string_view arguments) {
  const auto found = std::ranges::find_if(running_, [](const Running& running) {
    return running.command->is({Verb::kSearch, Verb::kUidSearch}) && running.is_delivered() && !running.found;
  });
  if (found == running_.end() || !open_) {
    fail("SEARCH that nobody asked for");
    return;
  }
  std::vector<uint32_t> numbers;
  wire::TokenReader reader(arguments);
  while (const auto number = reader.number()) {
    numbers.push_back(*number);
    if (found->command->verb == Verb::kSearch) {
      judge(open_->picture.told_number(*number));
    } else if (!open_->history->find(*number)) {
      fail(fmt::format("SEARCH finds UID {}, which never was there", *number));
    }
    if (!reader.space()) break;
  }
  if (!reader.at_end()) fail("a malformed SEARCH response");
  found->found = std::move(numbers);
}

SessionAudit::Problem SessionAudit::behind(const OpenMailbox& box, Moment then) const {
  const auto& picture = box.picture;
  const uint32_t there = box.history->alive_since(then);
  if (picture.exists() < there)
    return fmt::format("{} messages are known, and {} are there for long enough", picture.exists(), there);
  // Flags of a mailbox that was set aside are read again a while later.
  const auto may_be_old = [&](Moment since) {
    return context_.world.deselected_lately(box.history->id(), since, context_.rules.age_of_flags());
  };
  const bool held_back = std::ranges::any_of(running_, [this](const Running& running) {
    // Half a command may be one by number.
    if (!running.is_delivered()) return !running.part_ends.empty() && running.starts < delivered_;
    if (running.command->malformed) return true;  // it may look like a FETCH
    // COPY and MOVE for the client's sake, and UID SEARCH where its keys are numbers.
    return running.command->by_number() || (running.command->verb == Verb::kUidSearch && running.highest > 0);
  });
  for (const auto& message : picture.messages()) {
    const auto* mail = box.history->find(message.uid);
    if (!mail) continue;
    const uint32_t number = picture.number_of(message.id);
    if (!mail->alive()) {
      if (*mail->gone < then && !held_back)
        return fmt::format("message {} (UID {}) is gone, which was not told", number, message.uid);
    } else if (message.flags && mail->flags_changed() < then && !may_be_old(mail->flags_changed()) &&
               *message.flags != mail->message.flags) {
      return fmt::format("message {} (UID {}) is known with the flags ({}), and has had ({}) for long enough",
                         number, message.uid, fmt::join(*message.flags, " "),
                         fmt::join(mail->message.flags, " "));
    }
  }
  return std::nullopt;
}

}  // namespace imapmux::simulation
