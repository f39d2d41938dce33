#include <algorithm>

#include "fuzz/split_input.h"
#include "wire/fetch_items.h"
#include "wire/mailbox_name.h"
#include "wire/number_lists.h"
#include "wire/search_keys.h"
#include "wire/sequence_set.h"
#include "wire/store_arguments.h"
#include "wire/token_reader.h"

using namespace imapmux::wire;

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

void read_tokens(std::string_view text) {
  TokenReader reader(text);
  while (!reader.at_end()) {
    const size_t before = reader.position();
    const auto ahead = reader.peek();
    const auto token = reader.next();
    expect(ahead.has_value() == token.has_value());
    if (!token) {
      expect(reader.position() == before);
      return;
    }
    expect(reader.position() > before && token->raw.data() + token->raw.size() == reader.rest().data());
    expect(decode(*token).size() <= token->raw.size());
  }
}

// Reads by `choices` whatever stands there or not: the position never goes back, nor beyond the end.
void read_anything(std::string_view text, std::string_view choices) {
  TokenReader reader(text);
  for (const char choice : choices) {
    const size_t before = reader.position();
    bool is_read = false;
    switch (static_cast<uint8_t>(choice) % 8) {
      case 0:
        is_read = reader.space();
        break;
      case 1:
        is_read = reader.open();
        break;
      case 2:
        is_read = reader.close();
        break;
      case 3:
        is_read = reader.atom().has_value();
        break;
      case 4:
        is_read = reader.astring().has_value();
        break;
      case 5:
        is_read = reader.string().has_value();
        break;
      case 6:
        is_read = reader.number().has_value() || reader.number64().has_value();
        break;
      default:
        is_read = reader.skip_value();
        break;
    }
    expect(is_read ? reader.position() > before : reader.position() == before);
    expect(reader.position() <= text.size());
  }
}

// What is sent on can be read again, and means the same.
void read_arguments(std::string_view text) {
  if (const auto asked = parse_fetch_items(text, Seen::kNever)) {
    const auto again = parse_fetch_items(asked->items, Seen::kNever);
    expect(again && again->items == asked->items && !again->sets_seen);
  }
  if (const auto store = parse_store(text)) {
    const auto again = parse_store(std::string(name_of(store->operation)) + " " + store->flags);
    expect(again && again->flags == store->flags);
  }
}

void read_answers(std::string_view text) {
  std::vector<uint32_t> numbers;
  read_numbers(text, numbers);
  const auto odd_ones = [](uint32_t number) { return number % 2 == 0 ? 0 : number; };
  if (const auto threads = map_threads(text, odd_ones)) expect(map_threads(*threads, odd_ones) == threads);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FuzzInput input(data, size);
  const Chunk text(input.octets);
  read_tokens(text.view());
  const size_t half = text.view().size() / 2;
  read_anything(text.view().substr(half), text.view().substr(0, half));
  read_arguments(text.view());
  read_answers(text.view());
  parse_search(text.view());
  parse_search(text.view(), SearchForm::kSort);
  parse_search(text.view(), SearchForm::kThread);
  if (const auto set = SequenceSet::parse(text.view())) {
    const auto again = SequenceSet::parse(set->to_string());
    expect(std::ranges::equal(again->ranges(), set->ranges()));
  }
  const std::string canonical = canonical_mailbox_name(text.view(), 0);
  expect(canonical_mailbox_name(canonical, 0) == canonical);
  if (const auto name = encode_modified_utf7(text.view())) expect(decode_modified_utf7(*name) == text.view());
  return 0;
}
