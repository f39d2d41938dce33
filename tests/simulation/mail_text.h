// The mail of a run: small, each with a token of its own. Plain functions.
#pragma once

#include <string>

namespace imapmux::simulation {

inline std::string mail_text(const std::string& token, size_t filling) {
  std::string text = "From: someone@example.org\r\nSubject: about " + token + "\r\nMessage-ID: <" + token +
                     "@example.org>\r\n\r\nThis is " + token + "\r\n";
  while (filling > 0) {
    const size_t line = filling < 70 ? filling : 70;
    text += std::string(line, 'x') + "\r\n";
    filling -= line;
  }
  return text;
}

}  // namespace imapmux::simulation
