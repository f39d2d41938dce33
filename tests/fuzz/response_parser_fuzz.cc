#include "fuzz/split_input.h"

using namespace imapmux::wire;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FuzzInput input(data, size);
  ResponseLimits limits;
  if ((input.choice & 1) != 0) limits = {.max_line = 60, .max_inline = 4};
  expect_same(response_transcript({input.octets}, limits), response_transcript(input.pieces(), limits));
  return 0;
}
