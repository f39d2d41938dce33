#include "fuzz/split_input.h"
#include "unit/wire/fetch_pieces.h"

using namespace imapmux::wire;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FuzzInput input(data, size);
  const auto wish = [&](unsigned bit) { return (input.choice >> bit & 1) != 0; };
  const FetchWishes wishes = {.uid = wish(0),
                              .flags = wish(1),
                              .body_is_rfc822 = wish(2),
                              .body_text_is_rfc822_text = wish(3),
                              .renamed_from_0 = wish(4)};
  const FetchLiterals fetch = find_literals(input.octets);
  const std::string whole = rewrite_fetch(fetch, wishes, 0);
  expect_same(whole, rewrite_fetch(fetch, wishes, ~0U));
  expect_same(whole, rewrite_fetch(fetch, wishes, input.step));
  if (!whole.contains(learn_from_fetch(fetch.text))) std::abort();
  if (whole == "malformed") return 0;
  // What the client gets is well-formed, and to be passed on as it is.
  const std::string text = whole.substr(0, whole.rfind(')', whole.rfind(" uid=")) + 1);
  const std::string again = rewrite_fetch(find_literals(text), {}, 0);
  if (!again.starts_with(text + " uid=")) expect_same(text, again);
  return 0;
}
