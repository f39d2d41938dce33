// Logs one session's dialogue (log.protocol_trace) without passwords and message bodies.
//
// Fed with the octets as they pass, on both sides of a relay too, so it parses for itself. Made only for
// sessions that are traced; owned by its session.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "wire/command_parser.h"
#include "wire/response_parser.h"

namespace imapmux::session {

class ProtocolTrace {
 public:
  explicit ProtocolTrace(std::string label);
  void client_said(std::string_view octets);
  void client_got(std::string_view octets);
  // The proxy answered NO before the literal that was announced.
  void literal_refused();
  // Encrypted or compressed from here on.
  void stop() { stopped_ = true; }

 private:
  void log_command(const wire::Command& command, std::string_view tail);
  void hide_answer_to(std::string_view line);
  void log_response(const wire::Response& response);
  void log(std::string_view direction, std::string_view text);

  std::string label_;
  wire::CommandParser commands_;
  wire::ResponseParser responses_;
  std::string secret_tag_;             // of an AUTHENTICATE that is not answered yet: every line is secret
  std::set<std::string> hidden_tags_;  // of lines that were no commands: they may be anything, passwords too
  std::string upload_tag_;             // of a command whose literal waits for "+"
  bool idling_ = false;                // the next line is DONE
  bool lines_ = false;                 // lines, not commands, come from the client
  bool stopped_ = false;
};

}  // namespace imapmux::session
