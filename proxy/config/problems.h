// Collects what is wrong with a configuration while it is read. Lives for one load, on one thread.
#pragma once

#include <string>
#include <vector>

#include "config/config_loader.h"
#include "config/place.h"

namespace imapmux::config {

class Problems {
 public:
  void error(const Place& place, std::string message);
  void warning(const Place& place, std::string message);
  bool any() const { return !errors_.empty(); }
  // Both lists in the order of the file; problems in files it refers to come behind its own.
  std::vector<Problem> take_errors(const std::string& main_file);
  std::vector<Problem> take_warnings(const std::string& main_file);

 private:
  std::vector<Problem> errors_;
  std::vector<Problem> warnings_;
};

}  // namespace imapmux::config
