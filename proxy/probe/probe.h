// A whole probe: opens sessions, makes its mailbox, asks all questions, deletes the mailbox, also when it is
// interrupted, and when the server cuts off the sessions that it works with.
//
// run() has a loop of its own on the calling thread.
#pragma once

#include <memory>
#include <string>

#include "probe/findings.h"
#include "probe/options.h"
#include "probe/questions.h"

namespace imapmux::probe {

struct Outcome {
  Findings findings;
  std::string failure;      // why there are no findings; empty: there are
  std::string left_behind;  // a mailbox that could not be deleted, and why; empty: none is left
};

class Probe {
 public:
  Probe(Options options, base::Secret password, Questions::Progress progress);
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // Once.
  Outcome run();
  // Any thread, while run() runs: asks no more, cleans up, and returns what there is.
  void interrupt();

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

}  // namespace imapmux::probe
