#include "config/config_loader.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "config/cpu_count.h"
#include "config/key_table.h"

namespace imapmux::config {
namespace {

namespace fs = std::filesystem;
using base::Millis;

const std::string kMinimal = "backends: {legacy: {servers: [\"127.0.0.1:1143\"]}}\n";

std::string first_problem(const LoadResult& result) {
  return result.problems.empty() ? "none" : result.problems.front().to_string();
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = fs::temp_directory_path() / "imapmux-config-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { fs::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TEST(ConfigLoader, Defaults) {
  const LoadResult result = load_text(kMinimal, "c.yaml", ".");
  ASSERT_NE(nullptr, result.config) << first_problem(result);
  const Config& config = *result.config;
  EXPECT_EQ(usable_cpus(), config.workers);
  EXPECT_EQ(Millis(10'000), config.shutdown_grace);
  EXPECT_FALSE(config.admin);
  EXPECT_FALSE(config.trace.on());
  ASSERT_EQ(1U, config.listeners.size());
  EXPECT_EQ("[::]:143", config.listeners[0].bind.to_string());
  EXPECT_EQ(PlaintextLogin::kAlways, config.listeners[0].allow_plaintext_login);
  ASSERT_EQ(1U, config.routes.size());
  EXPECT_EQ("legacy", config.routes[0].backend);
  const Backend& backend = config.backends.at("legacy");
  const Backend standard;
  EXPECT_EQ("legacy", backend.name);
  EXPECT_EQ(BackendTls::kStarttls, backend.tls);
  EXPECT_EQ(standard.tls_verify, backend.tls_verify);
  EXPECT_EQ(standard.min_protocol, backend.min_protocol);
  EXPECT_EQ(standard.mechanism, backend.mechanism);
  EXPECT_EQ(standard.access, backend.access);
  EXPECT_EQ(standard.conflicts, backend.conflicts);
  EXPECT_EQ(standard.connections_per_user, backend.connections_per_user);
  EXPECT_EQ(standard.max_connections, backend.max_connections);
  EXPECT_EQ(standard.lease_wait, backend.lease_wait);
  EXPECT_EQ(standard.poll_interval, backend.poll_interval);
  EXPECT_EQ(MailboxAccess::kShared, backend.access);
  EXPECT_EQ(standard.min_hold, backend.min_hold);
  EXPECT_EQ(standard.linger, backend.linger);
  EXPECT_EQ(standard.credential_ttl, backend.credential_ttl);
  EXPECT_EQ(standard.account_linger, backend.account_linger);
  EXPECT_EQ(standard.share_credentials, backend.share_credentials);
  EXPECT_EQ(standard.backend_wait, backend.backend_wait);
  EXPECT_EQ(standard.connect_timeout, backend.connect_timeout);
  EXPECT_EQ(standard.command_timeout, backend.command_timeout);
  const Limits limits;
  EXPECT_EQ(limits.max_clients, config.limits.max_clients);
  EXPECT_EQ(limits.max_command_size, config.limits.max_command_size);
  EXPECT_EQ(limits.max_message_size, config.limits.max_message_size);
  EXPECT_EQ(limits.max_spool, config.limits.max_spool);
  EXPECT_EQ(limits.login_timeout, config.limits.login_timeout);
  EXPECT_EQ(limits.idle_timeout, config.limits.idle_timeout);
  EXPECT_EQ(limits.idle_keepalive, config.limits.idle_keepalive);
  EXPECT_EQ(limits.tcp_keepalive, config.limits.tcp_keepalive);
  EXPECT_EQ(limits.auth_failure_delay, config.limits.auth_failure_delay);
  ASSERT_EQ(1U, config.limits.trusted_networks.size());
  EXPECT_EQ("127.0.0.0/8", config.limits.trusted_networks[0].to_string());
}

TEST(ConfigLoader, EverythingIsRead) {
  const std::string path = std::string(IMAPMUX_SOURCE_DIR) + "/tests/config/valid/everything.yaml";
  const LoadResult result = load_file(path);
  ASSERT_NE(nullptr, result.config) << first_problem(result);
  const Config& config = *result.config;
  EXPECT_EQ(base::log::Level::kDebug, config.log_level);
  EXPECT_EQ(base::log::Format::kJson, config.log_format);
  EXPECT_EQ("bob", config.trace.user);
  EXPECT_EQ("192.0.2.7", config.trace.client);
  EXPECT_EQ(0660U, config.listeners[2].mode);
  EXPECT_TRUE(config.listeners[0].auth_plain);
  EXPECT_FALSE(config.listeners[0].auth_login);
  EXPECT_TRUE(config.listeners[0].auth_xoauth2);
  EXPECT_TRUE(config.listeners[0].auth_oauthbearer);
  EXPECT_EQ(ListenerTls::kStarttls, config.listeners[0].tls);
  EXPECT_EQ(TlsVersion::kTls13, config.listeners[1].min_protocol);
  EXPECT_TRUE(fs::path(config.listeners[1].client_ca).is_absolute());
  EXPECT_EQ("mail.example.org", config.certificates[1].names[1]);
  const Backend& legacy = config.backends.at("legacy");
  EXPECT_FALSE(legacy.failover);
  EXPECT_EQ(TlsVerify::kCa, legacy.tls_verify);
  EXPECT_EQ("old.example.org", legacy.server_name);
  EXPECT_EQ("DEFAULT@SECLEVEL=0", legacy.ciphers);
  EXPECT_EQ(LoginMechanism::kPlain, legacy.mechanism);
  EXPECT_EQ("secret", legacy.master_password.view());
  EXPECT_EQ(Conflicts::kSingleWriter, legacy.conflicts);
  EXPECT_EQ(Millis(500), legacy.connect_timeout);
  EXPECT_EQ(2U, legacy.source_addresses.size());
  EXPECT_EQ("#public/", legacy.shared_namespaces.at(1));
  EXPECT_EQ("\\1", legacy.mailbox_aliases.at(0).user);
  EXPECT_EQ("COMPRESS=DEFLATE", legacy.hide_capabilities.at(0));
  EXPECT_EQ(Conflicts::kNone, config.backends.at("new").conflicts);
  EXPECT_EQ(0U, config.backends.at("new").connections_per_user);
  const Backend& old = config.backends.at("old");
  EXPECT_EQ(MailboxAccess::kShared, old.access);
  EXPECT_EQ(1U, old.connections_per_user);
  EXPECT_EQ(Millis(0), old.min_hold);
  EXPECT_EQ(Millis(0), old.linger);
  EXPECT_EQ(Millis(0), old.credential_ttl);
  EXPECT_EQ(Millis(120'000), old.account_linger);
  EXPECT_EQ(ShareCredentials::kIdentical, old.share_credentials);
  EXPECT_EQ("bob", config.routes[2].users.at("bob@example.org").login_as);
  EXPECT_GT(config.routes[3].line, config.routes[0].line);
  EXPECT_EQ(Millis(0), config.limits.tcp_keepalive);
  EXPECT_EQ(uint64_t{1} << 30, config.limits.max_message_size);
  EXPECT_EQ(uint64_t{1} << 30, config.limits.max_spool);
  EXPECT_EQ(std::string(IMAPMUX_SOURCE_DIR) + "/tests/config/files", config.limits.spool_directory);
}

// A variable of the environment while it lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* before = ::getenv(name)) before_ = before;
    value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
  }
  ~Environment() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

std::string spool_directory_with(const char* tmpdir) {
  const Environment environment("TMPDIR", tmpdir);
  const LoadResult result = load_text(kMinimal, "c.yaml", ".");
  return result.config ? result.config->limits.spool_directory : first_problem(result);
}

TEST(ConfigLoader, TheSpoolIsWhereTemporaryFilesAre) {
  const TemporaryDirectory directory;
  EXPECT_EQ("/tmp", spool_directory_with(nullptr));
  EXPECT_EQ("/tmp", spool_directory_with(""));
  EXPECT_EQ(directory.path().string(), spool_directory_with(directory.path().c_str()));
}

TEST(ConfigLoader, WarnsWhenNothingCanBeSpooled) {
  const Environment environment("TMPDIR", "/missing");
  const auto warns = [](const std::string& access) {
    const LoadResult result = load_text(
        "backends: {a: {servers: [\"127.0.0.1:1143\"], mailbox_access: " + access + "}}\n", "c.yaml", ".");
    return std::any_of(result.warnings.begin(), result.warnings.end(), [](const Problem& warning) {
      return warning.message ==
             "limits.spool_directory: cannot make files in \"/missing\": No such file or directory; large "
             "messages will be refused";
    });
  };
  EXPECT_TRUE(warns("shared"));
  EXPECT_FALSE(warns("exclusive"));
}

TEST(ConfigLoader, SecretsFromFilesLoseOneNewline) {
  const TemporaryDirectory directory;
  directory.write("password", "with newline\n\n");
  const std::string text =
      "backends: {a: {servers: [h], login: {master_user: m, master_password_file: password}}}\n";
  const LoadResult result = load_file(directory.write("c.yaml", text));
  ASSERT_NE(nullptr, result.config) << first_problem(result);
  EXPECT_EQ("with newline\n", result.config->backends.at("a").master_password.view());
}

TEST(ConfigLoader, ReadsTheEnvironment) {
  ::setenv("IMAPMUX_TEST_PORT", "2143", 1);
  const LoadResult result =
      load_text("backends: {a: {servers: [\"h:${IMAPMUX_TEST_PORT}\"]}}", "c.yaml", ".");
  ASSERT_NE(nullptr, result.config) << first_problem(result);
  EXPECT_EQ(2143, result.config->backends.at("a").servers[0].port);
}

TEST(ConfigLoader, FilesThatCannotBeRead) {
  const TemporaryDirectory directory;
  const std::string missing = directory.path() / "missing.yaml";
  EXPECT_EQ(missing + ":1:1: cannot be read: No such file or directory", first_problem(load_file(missing)));
  EXPECT_EQ(directory.path().string() + ":1:1: cannot be read: is a directory",
            first_problem(load_file(directory.path())));
  const std::string huge = directory.write("huge.yaml", kMinimal + std::string((4U << 20) + 1, '#'));
  EXPECT_EQ(huge + ":1:1: cannot be read: is larger than 4MiB", first_problem(load_file(huge)));
  EXPECT_EQ("t:1:1: is larger than 4MiB",
            first_problem(load_text(std::string((4U << 20) + 1, '#'), "t", ".")));
}

TEST(ConfigLoader, DeepNestingIsAProblem) {
  for (const char open : {'[', '{'}) {
    EXPECT_NE("none", first_problem(load_text(std::string(100'000, open), "deep", ".")));
  }
  std::string text;
  for (int i = 0; i < 2000; ++i) text += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_NE("none", first_problem(load_text(text, "deep", ".")));
}

TEST(ConfigLoader, LargeUsersFileLoadsInTime) {
  const TemporaryDirectory directory;
  std::string users;
  for (int i = 0; i < 20'000; ++i) users += "user" + std::to_string(i) + "@example.org: a\n";
  directory.write("users.yaml", users);
  const LoadResult result = load_file(
      directory.write("c.yaml", "backends: {a: {servers: [h]}}\nroutes: [{users_file: users.yaml}]\n"));
  ASSERT_NE(nullptr, result.config) << first_problem(result);
  EXPECT_EQ(20'000U, result.config->routes[0].users.size());
}

TEST(ConfigLoader, WarnsOfTooFewFileDescriptors) {
  struct rlimit limit{};
  ASSERT_EQ(0, ::getrlimit(RLIMIT_NOFILE, &limit));
  const LoadResult result = load_text(kMinimal + "limits: {max_clients: 10000000}\n", "c.yaml", ".");
  ASSERT_NE(nullptr, result.config);
  bool warned = false;
  for (const Problem& warning : result.warnings) {
    warned |= warning.message.find("RLIMIT_NOFILE") != std::string::npos && warning.line == 2;
  }
  EXPECT_EQ(limit.rlim_max < 20'000'100, warned);
}

TEST(ConfigLoader, KeysAreNamedOnceAndExplained) {
  std::set<std::string> paths;
  for (const KeyInfo& key : all_keys()) {
    EXPECT_TRUE(paths.insert(key.path).second) << key.path;
    EXPECT_FALSE(key.about.empty()) << key.path;
    EXPECT_FALSE(key.type.empty()) << key.path;
  }
  EXPECT_GT(paths.size(), 90U);
}

}  // namespace
}  // namespace imapmux::config
