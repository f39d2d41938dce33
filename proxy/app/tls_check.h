// Judges the certificates, keys, authorities and ciphers of a configuration, each where it stands.
#pragma once

#include <vector>

#include "config/config_loader.h"

namespace imapmux::app {

// What OpenSSL objects to, in the order of the file.
std::vector<config::Problem> tls_problems(const config::LoadResult& loaded);

// load_file(), and what OpenSSL objects to is among the problems.
config::LoadResult load_and_check(const std::string& path);

}  // namespace imapmux::app
