// The `backends:` section to paste into a configuration, with a reason behind each value. Pure.
#pragma once

#include <string>

#include "probe/options.h"
#include "probe/verdict.h"

namespace imapmux::probe {

std::string stanza(const Options& options, const Findings& findings, const Verdict& verdict);

}  // namespace imapmux::probe
