// `imapmux probe`: the command line's side of it: the password file, signals, what is printed.
#pragma once

#include <string>

#include "probe/options.h"

namespace imapmux::app {

struct ProbeOptions {
  std::string server;         // HOST[:PORT]
  std::string password_file;  // "-": standard input
  std::string tls = "auto";   // auto|none|starttls|implicit
  std::string tls_verify = "full";
  std::string min_protocol = "TLSv1.2";
  uint32_t timeout_seconds = 30;
  bool verbose = false;
  bool json = false;
  probe::Options rest;  // all but what stands above
};

// Returns the exit status: 0 done, 1 not possible, 2 wrong options, 128 + the signal that interrupted it.
int run_probe(ProbeOptions options);

}  // namespace imapmux::app
