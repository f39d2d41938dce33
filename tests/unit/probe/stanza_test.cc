#include "probe/stanza.h"

#include <gtest/gtest.h>

#include "config/config_loader.h"
#include "probe/report.h"
#include "probe/transcript.h"

namespace imapmux::probe {
namespace {

// What the loader makes of it.
const config::Backend* backend_of(const config::LoadResult& loaded) {
  if (!loaded.config) ADD_FAILURE() << loaded.problems.front().to_string();
  return loaded.config ? &loaded.config->backends.at("legacy") : nullptr;
}

TEST(Stanza, SaysHowTheServerWasReached) {
  Options options;
  options.server = {"fe80::1", 993, {}};
  options.tls = config::BackendTls::kImplicit;
  options.tls_verify = config::TlsVerify::kCa;
  options.ca = "/etc/ssl/certs/ca-certificates.crt";
  options.server_name = "mail.example.org";
  options.min_protocol = config::TlsVersion::kTls10;
  options.ciphers = "DEFAULT@SECLEVEL=0";
  const auto loaded = config::load_text(stanza(options, {}, {}), "stanza", ".");
  const auto* backend = backend_of(loaded);
  ASSERT_TRUE(backend);
  EXPECT_EQ(backend->servers.front(), options.server);
  EXPECT_EQ(backend->tls, options.tls);
  EXPECT_EQ(backend->tls_verify, options.tls_verify);
  EXPECT_EQ(backend->ca, options.ca);
  EXPECT_EQ(backend->server_name, options.server_name);
  EXPECT_EQ(backend->min_protocol, options.min_protocol);
  EXPECT_EQ(backend->ciphers, options.ciphers);
}

// The prefixes are the server's words.
TEST(Stanza, TakesPrefixesAsTheyAre) {
  Options options;
  options.server = {"127.0.0.1", 143, {}};
  options.tls = config::BackendTls::kNone;
  Findings findings;
  findings.shared_namespaces = {"Shared/", R"(a"b\c)", "${HOME}/", "$$", "with: colon # and hash/"};
  const auto loaded = config::load_text(stanza(options, findings, {}), "stanza", ".");
  const auto* backend = backend_of(loaded);
  ASSERT_TRUE(backend);
  EXPECT_EQ(backend->shared_namespaces, findings.shared_namespaces);
}

TEST(Stanza, LeavesOutWhatNoConfigurationCanSay) {
  Options options;
  options.server = {"127.0.0.1", 143, {}};
  options.tls = config::BackendTls::kNone;
  Findings findings;
  findings.shared_namespaces = {"tab\t/", "\x1b[2J/", "\xff/", "Shared/"};
  const auto loaded = config::load_text(stanza(options, findings, {}), "stanza", ".");
  const auto* backend = backend_of(loaded);
  ASSERT_TRUE(backend);
  EXPECT_EQ(backend->shared_namespaces, std::vector<std::string>{"Shared/"});
  findings.shared_namespaces.pop_back();
  EXPECT_TRUE(config::load_text(stanza(options, findings, {}), "stanza", ".").config);
  EXPECT_TRUE(to_text(options, findings, Detail::kTable).contains("lacks shared namespaces"));
}

TEST(Tap, KeepsTheSecretOut) {
  Transcript transcript;
  Tap tap(transcript, "A");
  const base::Secret secret("hunter2");
  tap.hide(secret);
  tap.sent("m1 LOGIN bob hunter2\r\n");
  tap.received("m1 BAD what is \"hunter2\" or aHVudGVyMg==?\r\n* O");
  tap.show();
  tap.sent("m2 NOOP\r\n");
  tap.received("K\r\n");
  std::string text;
  for (const auto& line : transcript.since(0)) text += line.text + "\n";
  EXPECT_EQ(text, "m1 BAD what is \"***\" or ***?\nm2 NOOP\n* OK\n");
}

}  // namespace
}  // namespace imapmux::probe
