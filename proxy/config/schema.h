// The tables of keys as a JSON Schema (2020-12) of imapmux.yaml, for editors and for who writes
// configurations by program: names, kinds of values, choices, ranges, defaults, documentation. What concerns
// several keys at a time (TLS needs a certificate) only the loader knows. Pure.
#pragma once

#include <string>

namespace imapmux::config {

// With a line end. Keys that are not supported in this version are not in it.
std::string json_schema();

}  // namespace imapmux::config
