// The mail that a user of `imapmux demo` begins with.
#pragma once

#include <string>

#include "demo/store.h"

namespace imapmux::demo {

// A dozen messages in INBOX, some in the folders Sent, Drafts, Trash, Archive and Archive/2024; all
// subscribed.
void add_sample_mail(MailStore& store, const std::string& user);

}  // namespace imapmux::demo
