#include "fuzz/split_input.h"
#include "wire/search_keys.h"
#include "wire/writer.h"

using namespace imapmux::wire;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FuzzInput input(data, size);
  CommandOptions options;
  if ((input.choice & 1) != 0) options.limits = {.max_command = 40, .max_literal = 8};
  options.refuse = (input.choice & 2) != 0;
  expect_same(command_transcript({input.octets}, options), command_transcript(input.pieces(), options));

  // What is read as one command must be written as one command.
  CommandParser parser(CommandLimits{});
  std::string_view rest = input.octets;
  CommandParser::Event event = parser.next(rest);
  while (event == CommandParser::Event::kContinue) event = parser.next(rest);
  if (event != CommandParser::Event::kCommand) return 0;
  const Command command = parser.take();
  parse_search(command.arguments());
  parse_search(command.arguments(), SearchForm::kSort);
  for (const LiteralForm form : {LiteralForm::kPlus, LiteralForm::kSynchronising}) {
    std::string written;
    const auto pieces = write_command("t", command.text, form).pieces;
    for (const std::string& piece : pieces) written += piece;
    if (pieces.empty() || command.verb == Verb::kAppend) continue;
    CommandParser again(CommandLimits{.max_command = 1 << 20, .max_literal = 1 << 20});
    std::string_view left = written;
    size_t waits = 0;
    for (event = again.next(left); event == CommandParser::Event::kContinue; event = again.next(left))
      ++waits;
    if (event != CommandParser::Event::kCommand || !left.empty() || waits + 1 != pieces.size()) std::abort();
    if (again.take().verb != command.verb) std::abort();
  }
  return 0;
}
