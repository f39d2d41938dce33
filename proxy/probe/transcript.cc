#include "probe/transcript.h"

#include "auth/sasl.h"

namespace imapmux::probe {

namespace {

void replace_all(std::string& text, std::string_view what) {
  if (what.empty()) return;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 3))
    text.replace(at, what.size(), "***");
}

}  // namespace

std::string without(const base::Secret& secret, std::string text) {
  replace_all(text, secret.view());
  const base::Secret encoded(auth::encode_base64(secret.view()));
  replace_all(text, encoded.view());
  return text;
}

Evidence Transcript::since(size_t mark) const {
  return {lines_.begin() + static_cast<std::ptrdiff_t>(mark), lines_.end()};
}

void Tap::sent(std::string_view octets) {
  if (!secret_) cut(sent_, octets, Direction::kSent);
}

void Tap::received(std::string_view octets) {
  cut(received_, octets, Direction::kReceived);
}

void Tap::note(std::string text) {
  transcript_.add({session_, Direction::kNote, std::move(text)});
}

void Tap::cut(std::string& line, std::string_view octets, Direction direction) {
  for (const char c : octets) {
    if (c == '\r') continue;
    if (c != '\n') {
      line += c;
      continue;
    }
    transcript_.add({session_, direction, secret_ ? without(*secret_, line) : line});
    line.clear();
  }
}

}  // namespace imapmux::probe
