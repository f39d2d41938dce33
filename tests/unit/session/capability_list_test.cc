// What clients are told that they can do.
#include "session/capability_list.h"

#include <gtest/gtest.h>

#include <set>

#include "wire/command_table.h"

namespace imapmux::session {
namespace {

using backend::Capabilities;

std::set<std::string> words(const std::string& list) {
  std::set<std::string> out;
  for (size_t at = 0; at < list.size();) {
    const auto end = std::min(list.find(' ', at), list.size());
    EXPECT_TRUE(out.insert(list.substr(at, end - at)).second) << "twice in: " << list;
    at = end + 1;
  }
  return out;
}

const std::set<std::string> kAlways = {"IMAP4rev1", "LITERAL+", "SASL-IR",  "ID",
                                       "ENABLE",    "IDLE",     "UNSELECT", "NAMESPACE"};

TEST(CapabilityListTest, TheProxyGivesItsOwnWhateverTheBackendHas) {
  const std::string list = offered_capabilities(Capabilities("IMAP4rev1"), {});
  EXPECT_TRUE(list.starts_with("IMAP4rev1 "));
  EXPECT_EQ(words(list), kAlways);
}

TEST(CapabilityListTest, WhatIsUnderstoodIsPassedWhereTheBackendHasIt) {
  auto expected = kAlways;
  const std::string all =
      "UIDPLUS MOVE QUOTA ACL SORT ESEARCH CHILDREN LIST-EXTENDED SPECIAL-USE METADATA METADATA-SERVER "
      "BINARY "
      "MULTIAPPEND WITHIN THREAD=REFERENCES THREAD=ORDEREDSUBJECT RIGHTS=TEXK";
  expected.merge(words(all));
  EXPECT_EQ(words(offered_capabilities(Capabilities("IMAP4rev1 IDLE NAMESPACE " + all), {})), expected);
}

TEST(CapabilityListTest, WhatWouldSetStateOnTheConnectionOrIsUnknownIsHidden) {
  const Capabilities backend(
      "IMAP4rev1 IMAP4rev2 CONDSTORE QRESYNC SEARCHRES COMPRESS=DEFLATE NOTIFY CATENATE URLAUTH UTF8=ACCEPT "
      "LANGUAGE LIST-STATUS STATUS=SIZE ESORT CONTEXT=SEARCH CONTEXT=SORT CREATE-SPECIAL-USE LOGINDISABLED "
      "STARTTLS "
      "AUTH=PLAIN OBJECTID SAVEDATE REPLACE PARTIAL X-GM-EXT-1 XLIST LITERAL- UNAUTHENTICATE SORT=DISPLAY");
  EXPECT_EQ(words(offered_capabilities(backend, {})), kAlways);
}

TEST(CapabilityListTest, TheConfigurationHidesOwnAndPassedOnes) {
  config::Backend config;
  config.hide_capabilities = {"IDLE", "MOVE", "THREAD=REFS"};
  const Capabilities backend("IMAP4rev1 MOVE SORT THREAD=REFS THREAD=REFERENCES");
  const auto list = words(offered_capabilities(backend, config));
  for (const char* name : {"IDLE", "MOVE", "THREAD=REFS"}) EXPECT_FALSE(list.contains(name)) << name;
  for (const char* name : {"SORT", "THREAD=REFERENCES", "UNSELECT"}) EXPECT_TRUE(list.contains(name)) << name;
}

TEST(CapabilityListTest, ACommandIsOfferedIfOneOfItsCapabilitiesIs) {
  config::Backend config;
  const Capabilities backend("MOVE THREAD=REFS CONDSTORE");
  EXPECT_TRUE(offers(backend, config, ""));
  EXPECT_TRUE(offers(backend, config, "MOVE"));
  EXPECT_TRUE(offers(backend, config, "THREAD=REFERENCES|THREAD=REFS"));
  EXPECT_FALSE(offers(backend, config, "SORT"));
  EXPECT_FALSE(offers(backend, config, "SORT|UIDPLUS"));
  EXPECT_FALSE(offers(backend, config, "CONDSTORE")) << "the backend has it, the client does not";
  config.hide_capabilities = {"MOVE"};
  EXPECT_FALSE(offers(backend, config, "MOVE"));
}

TEST(CapabilityListTest, EveryCommandOfTheTableCanBeOffered) {
  const Capabilities backend("MOVE UIDPLUS SORT QUOTA ACL METADATA THREAD=REFERENCES");
  for (const auto& info : wire::all_commands()) {
    EXPECT_TRUE(offers(backend, {}, info.capability)) << info.name;
    EXPECT_EQ(offers(Capabilities(), {}, info.capability), info.capability.empty()) << info.name;
  }
}

TEST(CapabilityListTest, ARelayTellsWhatTheBackendHasWithoutWhatIsForBeforeLogin) {
  config::Backend config;
  config.hide_capabilities = {"COMPRESS=DEFLATE"};
  const Capabilities backend(
      "IMAP4rev1 CONDSTORE IDLE COMPRESS=DEFLATE STARTTLS LOGINDISABLED AUTH=PLAIN AUTH=XOAUTH2 X-NEW");
  const auto list = relayed_capabilities(backend, config);
  EXPECT_TRUE(list.starts_with("IMAP4rev1"));
  EXPECT_EQ(words(list), (std::set<std::string>{"IMAP4rev1", "CONDSTORE", "IDLE", "X-NEW"}));
}

}  // namespace
}  // namespace imapmux::session
