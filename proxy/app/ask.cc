#include "app/ask.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>
#include <sstream>
#include <thread>

#include "admin/admin_client.h"
#include "admin/status_text.h"

namespace imapmux::app {
namespace {

constexpr int kProblem = 1;
constexpr std::chrono::seconds kWatchInterval{2};
constexpr std::string_view kEverything = "/api/v1/status";
constexpr std::string_view kScreenful = "/api/v1/status?most=200";

admin::AdminAnswer ask(const AskOptions& options, std::string_view path) {
  auto answer = admin::ask_admin(options.admin, std::string(path), options.token);
  if (answer.status == 0) answer.body = "no answer from " + options.admin.to_string() + ": " + answer.body;
  if (answer.status != 200) std::cerr << answer.body << (answer.body.ends_with('\n') ? "" : "\n");
  return answer;
}

// How much of a text fits on the terminal; what is longer or wider is cut off. Octets count as columns.
std::string on_screen(const std::string& text) {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 2 || size.ws_col < 2) return text;
  std::istringstream lines(text);
  std::string out;
  std::string line;
  for (int row = 1; row < size.ws_row && std::getline(lines, line); ++row)
    out += line.substr(0, size.ws_col) + "\n";
  return out;
}

}  // namespace

int print_status(const AskOptions& options, StatusForm form) {
  const auto answer = ask(options, kEverything);
  if (answer.status != 200) return kProblem;
  std::cout << (form == StatusForm::kJson ? answer.body : admin::to_text(answer.body));
  return 0;
}

int watch_status(const AskOptions& options, StatusForm form) {
  const bool paints = form == StatusForm::kText && isatty(STDOUT_FILENO) != 0;
  std::string before;
  for (;;) {
    const auto answer = ask(options, form == StatusForm::kJson ? kEverything : kScreenful);
    if (answer.status != 200) return kProblem;
    if (form == StatusForm::kJson) {
      std::cout << answer.body;
    } else {
      const auto text = admin::to_text(answer.body, before);
      // Home, and clear what the last one has left: less flicker than clearing first.
      std::cout << (paints ? "\x1b[H\x1b[2J" + on_screen(text) : text + "\n");
    }
    std::cout.flush();
    if (!std::cout) return kProblem;  // whoever read it has gone
    before = answer.body;
    std::this_thread::sleep_for(kWatchInterval);
  }
}

// One that is drained is well: whoever watches its health would kill it, with all who are still there.
int health(const AskOptions& options) {
  const auto answer = ask(options, "/readyz");
  return answer.status == 200 || answer.body == admin::kDrained ? 0 : kProblem;
}

}  // namespace imapmux::app
