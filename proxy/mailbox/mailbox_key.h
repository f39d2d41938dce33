// Which mailbox a name means, so that all its spellings contend for one lease. Pure; made once per session.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "mailbox/lease.h"

namespace re2 {
class RE2;
}

namespace imapmux::mailbox {

class MailboxNaming {
 public:
  // `account`: the login name on the backend. Bob and bob are two accounts, but contend for one mailbox:
  // right whether or not the server tells them apart. `delimiter`: the server's, 0 while unknown.
  MailboxNaming(const config::Backend& backend, std::string_view account, char delimiter);
  ~MailboxNaming();
  MailboxKey key(std::string_view name) const;
  char delimiter() const { return delimiter_; }

 private:
  struct Alias {
    std::unique_ptr<re2::RE2> match;
    std::string key;
    std::string user;
  };
  std::string backend_;
  std::string account_;
  char delimiter_;
  std::vector<std::string> shared_;
  std::vector<Alias> aliases_;
};

}  // namespace imapmux::mailbox
