// What the wire parsers cost per command and per response, without I/O.
#include <benchmark/benchmark.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "wire/command_parser.h"
#include "wire/fetch_attributes.h"
#include "wire/response_parser.h"
#include "wire/sequence_set.h"
#include "wire/token_reader.h"

namespace imapmux::wire {
namespace {

// Parses `text`, which holds one or more complete commands, over and over.
void parse_commands(benchmark::State& state, std::string_view text) {
  CommandParser parser({});
  size_t commands = 0;
  for ([[maybe_unused]] auto _ : state) {
    std::string_view input = text;
    while (true) {
      const CommandParser::Event event = parser.next(input);
      if (event == CommandParser::Event::kNeedMore) break;
      if (event == CommandParser::Event::kCommand) {
        benchmark::DoNotOptimize(parser.take());
        ++commands;
      }
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(commands));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

void parse_responses(benchmark::State& state, std::string_view text) {
  ResponseParser parser;
  size_t responses = 0;
  for ([[maybe_unused]] auto _ : state) {
    std::string_view input = text;
    while (true) {
      const ResponseParser::Event event = parser.next(input);
      if (event == ResponseParser::Event::kNeedMore) break;
      if (event == ResponseParser::Event::kMalformed) {
        state.SkipWithError(parser.problem().c_str());
        return;
      }
      if (event == ResponseParser::Event::kResponse) {
        benchmark::DoNotOptimize(parser.response());
        ++responses;
      }
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(responses));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}

// Rewrites the attributes of one response, given in pieces between its literals, over and over.
void rewrite_fetch(benchmark::State& state, FetchWishes wishes,
                   std::initializer_list<std::string_view> pieces) {
  FetchAttributes attributes;
  std::string out;
  for ([[maybe_unused]] auto _ : state) {
    out.clear();
    attributes.begin(wishes);
    for (const std::string_view text : pieces) benchmark::DoNotOptimize(attributes.piece(text, out));
    benchmark::DoNotOptimize(out.data());
  }
  if (!attributes.complete()) state.SkipWithError("malformed");
  state.SetItemsProcessed(state.iterations());
}

void command_noop(benchmark::State& state) {
  parse_commands(state, "a0001 NOOP\r\n");
}
BENCHMARK(command_noop);

void command_fetch(benchmark::State& state) {
  parse_commands(state,
                 "a0002 UID FETCH 1:500 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE "
                 "FROM SUBJECT)])\r\n");
}
BENCHMARK(command_fetch);

void command_login_literals(benchmark::State& state) {
  parse_commands(state, "a LOGIN {3+}\r\nbob {6+}\r\nsecret\r\n");
}
BENCHMARK(command_login_literals);

void commands_pipelined(benchmark::State& state) {
  std::string text;
  for (int i = 0; i < 100; ++i)
    text += "a" + std::to_string(i) + " UID FETCH " + std::to_string(i + 1) + " (FLAGS)\r\n";
  parse_commands(state, text);
}
BENCHMARK(commands_pipelined);

void command_append_64k(benchmark::State& state) {
  parse_commands(state, "a APPEND INBOX (\\Seen) {65536+}\r\n" + std::string(65536, 'x') + "\r\n");
}
BENCHMARK(command_append_64k);

void response_ok(benchmark::State& state) {
  parse_responses(state, "a0001 OK NOOP completed\r\n");
}
BENCHMARK(response_ok);

void responses_fetch_flags(benchmark::State& state) {
  std::string text;
  for (int i = 1; i <= 1000; ++i) {
    text += "* " + std::to_string(i) + " FETCH (UID " + std::to_string(i + 5000) + " FLAGS (\\Seen))\r\n";
  }
  parse_responses(state, text);
}
BENCHMARK(responses_fetch_flags);

// What a mailbox says of itself, and the ends of commands.
void responses_short(benchmark::State& state) {
  std::string text;
  for (int i = 1; i <= 1000; ++i)
    text += "* " + std::to_string(i) + " EXISTS\r\n* 0 RECENT\r\n* 1 EXPUNGE\r\nt" + std::to_string(i) +
            " OK done\r\n";
  parse_responses(state, text);
}
BENCHMARK(responses_short);

// As clients list a mailbox: headers come as literals in the middle.
void responses_fetch_headers(benchmark::State& state) {
  const std::string headers(300, 'x');
  std::string text;
  for (int i = 1; i <= 1000; ++i) {
    text += "* " + std::to_string(i) + " FETCH (UID " + std::to_string(i + 5000) +
            " RFC822.SIZE 4711 BODY[HEADER.FIELDS (DATE FROM SUBJECT)] {300}\r\n" + headers +
            " FLAGS (\\Seen))\r\n";
  }
  parse_responses(state, text);
}
BENCHMARK(responses_fetch_headers);

void response_body_100k(benchmark::State& state) {
  parse_responses(state, "* 1 FETCH (UID 1 BODY[] {102400}\r\n" + std::string(102400, 'x') + ")\r\n");
}
BENCHMARK(response_body_100k);

void fetch_attributes_flags(benchmark::State& state) {
  rewrite_fetch(state, {.uid = false}, {"(UID 5 FLAGS (\\Seen))"});
}
BENCHMARK(fetch_attributes_flags);

void fetch_attributes_body(benchmark::State& state) {
  rewrite_fetch(state, {.uid = false, .body_is_rfc822 = true}, {"(UID 5 BODY[] ", " FLAGS (\\Seen))"});
}
BENCHMARK(fetch_attributes_body);

void fetch_attributes_envelope(benchmark::State& state) {
  rewrite_fetch(state, {.uid = false},
                {"(UID 5 ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700\" \"a subject\" ((\"A\" NIL \"a\" "
                 "\"example.org\")) NIL NIL NIL NIL NIL NIL \"<B27397-0100000@example.org>\") FLAGS ())"});
}
BENCHMARK(fetch_attributes_envelope);

void response_search_10000(benchmark::State& state) {
  std::string text = "* SEARCH";
  for (int i = 1; i <= 10000; ++i) text += " " + std::to_string(i);
  parse_responses(state, text + "\r\n");
}
BENCHMARK(response_search_10000);

void sequence_set_1000_ranges(benchmark::State& state) {
  std::string text = "1";
  for (int i = 1; i < 1000; ++i) text += "," + std::to_string(3 * i) + ":" + std::to_string(3 * i + 1);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(SequenceSet::parse(text));
}
BENCHMARK(sequence_set_1000_ranges);

void tokens_of_envelope(benchmark::State& state) {
  const std::string text =
      "(\"Wed, 17 Jul 1996 02:23:25 -0700\" \"a subject\" ((\"A\" NIL \"a\" \"example.org\")) NIL NIL NIL "
      "NIL NIL NIL "
      "\"<B27397-0100000@example.org>\")";
  for ([[maybe_unused]] auto _ : state) {
    TokenReader reader(text);
    benchmark::DoNotOptimize(reader.skip_value());
  }
}
BENCHMARK(tokens_of_envelope);

}  // namespace
}  // namespace imapmux::wire

BENCHMARK_MAIN();
