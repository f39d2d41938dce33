// Where something stands in a configuration file.
#pragma once

#include <string>

namespace imapmux::config {

struct Place {
  std::string file;
  int line = 1;  // 1-based
  int column = 1;
};

}  // namespace imapmux::config
