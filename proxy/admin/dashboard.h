// The dashboard: one page, dashboard.html, which is built into the program (CMakeLists.txt). It asks for
// nothing but /api/v1/status.
#pragma once

#include <string>
#include <string_view>

namespace imapmux::admin {

extern const std::string_view kDashboardPage;

// The page, and the Content-Security-Policy to send with it: nothing from elsewhere, and no scripts or styles
// but its own, which bear a number that is used once.
struct Dashboard {
  std::string page;
  std::string policy;
  static Dashboard make();
};

}  // namespace imapmux::admin
