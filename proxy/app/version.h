// The version, as CMake knows it.
#pragma once

namespace imapmux::app {

inline constexpr const char* kVersion = IMAPMUX_VERSION;

}  // namespace imapmux::app
