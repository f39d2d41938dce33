// /metrics: a snapshot in Prometheus's text format. Names and units by its conventions: base units, _total
// for what only grows.
#pragma once

#include <string>

#include "admin/process_facts.h"
#include "session/snapshot.h"

namespace imapmux::admin {

std::string to_metrics(const session::Snapshot& snapshot, const ProcessFacts& process);

}  // namespace imapmux::admin
