// What a probe asks the server, one question after the other, each by what sessions A and B do in the probe's
// mailbox. Answers go to the findings: values for the verdict, a row in plain words, and the dialogue.
//
// One per probe, on its loop. Every question begins with both sessions in no mailbox, and leaves no trace but
// in the probe's mailbox. What a server does to a session is an answer; only cancelling ends a question.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "probe/findings.h"
#include "probe/probe_mailbox.h"
#include "probe/sessions.h"

namespace imapmux::probe {

class Questions {
 public:
  // Told before each question what it is about.
  using Progress = std::function<void(std::string_view)>;

  Questions(Door& door, Sessions& sessions, ProbeMailbox& mailbox, Transcript& transcript, Findings& findings)
      : door_(door), sessions_(sessions), mailbox_(mailbox), transcript_(transcript), findings_(findings) {}

  async::Task<> ask_all(std::string user, uint32_t most_connections, Progress progress);

 private:
  using Words = std::string;  // the answer for people

  // The two sessions in no mailbox, and kMessages messages in the probe's. Without `trouble` both are there.
  struct Pair {
    Session* a = nullptr;
    Session* b = nullptr;
    Words trouble;
  };
  struct Opened {
    Beside beside = Beside::kUnknown;
    Words words;
  };
  struct Numbers {
    std::string trouble;
    uint32_t validity = 0;
    uint32_t next = 0;  // 0: SELECT does not tell it
    uint32_t last = 0;  // the UID of the last message
  };

  async::Task<> put(std::string_view key, std::string_view question, async::Task<Words> (Questions::*ask)());

  // questions.cc
  async::Task<Words> connection_limit();
  async::Task<Words> uid_next();
  async::Task<Words> name_case();
  async::Task<Numbers> numbers(Session* session);
  Words judge_uids(const Numbers& before, const Numbers& again, const Numbers& later);
  async::Task<Pair> pair();
  async::Task<Session*> alone(Words& trouble);
  async::Task<Words> same_user(Session& session);

  // opening_questions.cc
  async::Task<Words> second_select();
  async::Task<Words> examine_beside_select();
  async::Task<Words> select_beside_examine();
  async::Task<Words> changes_seen();
  async::Task<Opened> open_beside(Session& a, Session& b, std::string first, std::string second);
  async::Task<Sight> look(Session& writer, Session& reader);

  // status_questions.cc
  async::Task<Words> status_of_other();
  async::Task<Words> status_of_own();
  async::Task<Words> append();
  async::Task<Words> stale_status(Session& a, Session& b);
  async::Task<Words> judge_own_status(Session& a, Answer answer, uint32_t before);

  Door& door_;
  Sessions& sessions_;
  ProbeMailbox& mailbox_;
  Transcript& transcript_;
  Findings& findings_;
  Progress progress_;
  std::string user_;
  uint32_t most_connections_ = 0;
  size_t evidence_from_ = 0;  // behind the preparations
};

}  // namespace imapmux::probe
