// The `backends:` section to paste into a configuration, with a reason behind each value. Pure.
#pragma once

#include <string>
#include <string_view>

#include "probe/options.h"
#include "probe/verdict.h"

namespace imapmux::probe {

// Whether it can be in there: a prefix that a server has made up may be no text.
bool can_be_configured(std::string_view text);
std::string stanza(const Options& options, const Findings& findings, const Verdict& verdict);

}  // namespace imapmux::probe
