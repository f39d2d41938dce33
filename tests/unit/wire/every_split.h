// Feeds one input whole, in two pieces cut at every place, and octet by octet: the answer must be the same.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>

#include "unit/wire/transcript.h"

namespace imapmux::wire {

// `run` makes a transcript of the chunks it is given. The result is that of the whole input.
template <class Run>
std::string every_split(std::string_view input, Run run) {
  const std::string whole = run(Chunks{input});
  const size_t step = 1 + input.size() / 4096;
  for (size_t at = 0; at <= input.size(); at += step) {
    const std::string split = run(Chunks{input.substr(0, at), input.substr(at)});
    if (split != whole) {
      EXPECT_EQ(split, whole) << "cut at " << at << " of: " << input;
      return whole;
    }
  }
  Chunks octets;
  for (size_t at = 0; at < input.size(); ++at) octets.push_back(input.substr(at, 1));
  EXPECT_EQ(run(octets), whole) << "octet by octet: " << input;
  return whole;
}

// Random input made of words that lead a parser far, always the same for one seed.
class Garbage {
 public:
  Garbage(unsigned seed, std::vector<std::string_view> words) : random_(seed), words_(std::move(words)) {}

  std::string next(size_t max_words) {
    std::string out;
    for (size_t left = below(max_words) + 1; left > 0; --left) {
      if (below(8) == 0) {
        out += static_cast<char>(below(256));
      } else {
        out += words_[below(words_.size())];
      }
    }
    return out;
  }
  size_t below(size_t limit) { return random_() % limit; }

 private:
  std::mt19937 random_;
  std::vector<std::string_view> words_;
};

}  // namespace imapmux::wire
