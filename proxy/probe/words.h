// Findings in plain words, for people, and as names, for machines. Pure.
#pragma once

#include <string>
#include <string_view>

#include "probe/findings.h"

namespace imapmux::probe {

std::string words(const Sight& sight);

std::string_view name_of(Beside value);
std::string_view name_of(Told value);
std::string_view name_of(FetchOfExpunged value);
std::string_view name_of(Status value);
std::string_view name_of(Append value);
std::string_view name_of(UidNext value);
std::string_view name_of(NameCase value);
std::string_view name_of(LimitKind value);

}  // namespace imapmux::probe
