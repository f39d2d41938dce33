#include "simulation/dialogue.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <vector>

namespace imapmux::simulation {

void Dialogue::said(const std::string& who, Direction direction, std::string_view octets) {
  auto& unfinished = unfinished_[{who, direction}];
  const char mark = direction == Direction::kToProxy ? '>' : '<';
  for (;;) {
    const auto end = octets.find('\n');
    if (end == std::string_view::npos) break;
    unfinished.append(octets.substr(0, end));
    octets.remove_prefix(end + 1);
    if (unfinished.ends_with('\r')) unfinished.pop_back();
    add({clock_.now(), who, mark, std::move(unfinished)});
    unfinished.clear();
  }
  unfinished.append(octets);
}

void Dialogue::note(const std::string& who, std::string_view what) {
  add({clock_.now(), who, '-', std::string(what)});
}

void Dialogue::add(Line line) {
  if (line.text.size() > 20 && line.text.find_first_not_of('x') == std::string::npos) return;  // filling
  if (line.text.size() > kWidth) line.text = line.text.substr(0, kWidth) + "…";
  if (verbose_) std::puts(show(line).c_str());
  if (lines_.size() >= kKept) lines_.pop_front();
  lines_.push_back(std::move(line));
}

std::string Dialogue::show(const Line& line) {
  return fmt::format("{:>9.3f} {:<10} {} {}",
                     static_cast<double>(line.time.time_since_epoch().count()) / 1000, line.who, line.mark,
                     line.text);
}

std::string Dialogue::last(const std::string& who, size_t lines) const {
  const std::string backends = who.substr(0, who.find('.')) + ".b";
  std::vector<std::string> shown;
  size_t of_client = 0;
  size_t of_backend = 0;
  for (auto line = lines_.rbegin(); line != lines_.rend(); ++line) {
    const bool client = line->who == who;
    if (!client && !line->who.starts_with(backends)) continue;
    auto& count = client ? of_client : of_backend;
    if (count++ < lines) shown.push_back(show(*line));
  }
  std::string text;
  for (auto line = shown.rbegin(); line != shown.rend(); ++line) text += *line + "\n";
  return text;
}

}  // namespace imapmux::simulation
