#include "base/log_recording.h"

namespace imapmux::base::log {
namespace {

thread_local Recording* recording = nullptr;

}  // namespace

Recording::Recording() {
  recording = this;
}

Recording::~Recording() {
  recording = nullptr;
}

bool is_recorded() {
  return recording != nullptr;
}

void note(std::string_view level, std::string_view text) {
  if (recording) recording->lines_.push_back(std::string(level) + ": " + std::string(text));
}

}  // namespace imapmux::base::log
