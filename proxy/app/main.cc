// The command line.
#include <CLI/CLI.hpp>

#include <cstdlib>
#include <iostream>

#include "admin/admin_server.h"
#include "app/ask.h"
#include "app/command_docs.h"
#include "app/demo.h"
#include "app/generate.h"
#include "app/probe_command.h"
#include "app/serve.h"
#include "app/version.h"
#include "demo/quirks_option.h"

namespace {

using namespace imapmux;

constexpr int kProblem = 1;
constexpr int kUsage = 2;

struct AdminOptions {
  std::string address = "127.0.0.1:9143";
  std::string token;
  bool json = false;
  bool watch = false;
};

void add_admin_options(CLI::App& command, AdminOptions& options) {
  command.add_option("--admin", options.address, "the admin endpoint, HOST:PORT or unix:/path")
      ->type_name("ADDRESS")
      ->capture_default_str();
  command.add_option("--token", options.token, "its token")
      ->type_name("TOKEN")
      ->envname("IMAPMUX_ADMIN_TOKEN");
}

app::AskOptions to_ask(const AdminOptions& options) {
  const auto endpoint = base::parse_endpoint(options.address, 9143);
  if (!endpoint) throw CLI::ValidationError("--admin", "not HOST:PORT or unix:/path: " + options.address);
  return {*endpoint, options.token};
}

int status(const AdminOptions& options) {
  const auto form = options.json ? app::StatusForm::kJson : app::StatusForm::kText;
  return options.watch ? app::watch_status(to_ask(options), form) : app::print_status(to_ask(options), form);
}

void add_probe(CLI::App& program, app::ProbeOptions& options, int& result) {
  auto* probe = program.add_subcommand(
      "probe", "find out by real sessions what a server bears, and what to write into the configuration");
  probe->add_option("server", options.server, "HOST or HOST:PORT; 143, or 993 with --tls implicit")
      ->type_name("HOST")
      ->required();
  probe->add_option("--user", options.rest.user, "whom to log in as; a test account is best")
      ->type_name("USER")
      ->required();
  probe
      ->add_option("--password-file", options.password_file, "a file with the password; - for standard input")
      ->type_name("FILE")
      ->required();
  probe
      ->add_option(
          "--tls", options.tls,
          "auto: implicit on port 993, none on loopback, else starttls; none sends the password in the clear")
      ->check(CLI::IsMember({"auto", "none", "starttls", "implicit"}))
      ->capture_default_str();
  probe->add_option("--tls-verify", options.tls_verify, "as in the configuration")
      ->check(CLI::IsMember({"full", "ca", "none"}))
      ->capture_default_str();
  probe->add_option("--ca", options.rest.ca, "PEM file with the authorities to trust")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  probe->add_option("--server-name", options.rest.server_name, "for SNI and the check of the certificate")
      ->type_name("NAME");
  probe->add_option("--min-protocol", options.min_protocol, "of TLS, for old servers")
      ->check(CLI::IsMember({"TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"}))
      ->capture_default_str();
  probe->add_option("--ciphers", options.rest.ciphers, "in OpenSSL's syntax, for old servers")
      ->type_name("LIST");
  probe->add_option("--timeout", options.timeout_seconds, "how long an answer may take, in seconds")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  probe
      ->add_option("--connections", options.rest.most_connections,
                   "how many at once are tried to find the limit")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  probe->add_flag("--verbose", options.verbose,
                  "also shows the dialogue with the server, without the password");
  probe->add_flag("--json", options.json, "as JSON, with the dialogue");
  probe->callback([&options, &result] { result = app::run_probe(std::move(options)); });
}

int run(int argc, char** argv) {
  CLI::App program("imapmux: any number of mail clients in front of IMAP servers that can't take them",
                   "imapmux");
  program.set_version_flag("--version", std::string("imapmux ") + app::kVersion);
  program.footer("Exit status: 0 fine, 1 a problem was found, 2 wrong usage.");
  program.require_subcommand(1);
  int result = 0;

  std::string config;
  auto* serve = program.add_subcommand(
      "serve",
      "run the proxy in the foreground; SIGHUP reloads, SIGUSR2 starts the program anew with --takeover, "
      "SIGTERM ends");
  serve->add_option("--config", config, "the configuration file")->type_name("FILE")->required();
  bool takeover = false;
  serve->add_flag("--takeover", takeover,
                  "take sockets and accounts over from the one that runs, if there is one (takeover.socket)");
  serve->callback(
      [&] { result = app::serve(config, takeover ? app::Start::kTakeover : app::Start::kAlone); });

  std::string route_user;
  auto* check = program.add_subcommand("check", "validate a configuration file");
  check->add_option("--config", config, "the configuration file")->type_name("FILE")->required();
  check->add_option("--route", route_user, "also say where this user goes, and why")->type_name("USER");
  check->callback([&] { result = app::check(config, route_user); });

  app::ProbeOptions probe_options;
  add_probe(program, probe_options, result);

  AdminOptions admin_options;
  auto* status_command = program.add_subcommand("status", "show what a running proxy does");
  add_admin_options(*status_command, admin_options);
  status_command->add_flag("--json", admin_options.json, "as JSON");
  status_command->add_flag("--watch", admin_options.watch, "again every 2 s, until ^C");
  status_command->callback([&] { result = status(admin_options); });

  auto* health_command = program.add_subcommand("health", "exit 0 when a running proxy is ready, or drained");
  add_admin_options(*health_command, admin_options);
  health_command->callback([&] { result = app::health(to_ask(admin_options)); });

  app::DemoOptions demo_options;
  auto* demo = program.add_subcommand("demo", "an embedded legacy server with the proxy in front of it");
  demo->add_option("--port", demo_options.port, "the proxy's port on 127.0.0.1")
      ->type_name("PORT")
      ->capture_default_str();
  demo->add_option("--user", demo_options.user, "who may log in")->type_name("USER")->capture_default_str();
  demo->add_option("--password", demo_options.password, "with what")
      ->type_name("PASSWORD")
      ->capture_default_str();
  demo->callback([&] { result = app::run_demo(demo_options); });

  app::DemoServerOptions server_options;
  auto* server = program.add_subcommand("demo-server", "the demo's legacy server alone, for tests");
  server->group("");  // not in --help
  server->add_option("--port", server_options.port, "port on 127.0.0.1, 0 for any");
  server->add_option("--quirks", server_options.quirks, std::string(imapmux::demo::kQuirksHelp));
  server->add_option("--user", server_options.user, "who may log in");
  server->add_option("--password", server_options.password, "with what");
  server->add_flag("--any-user", server_options.any_user, "everybody, the password is the user's name");
  server->add_option("--mailboxes", server_options.mailboxes, "how many mailboxes each user has");
  server->callback([&] { result = app::run_demo_server(server_options); });

  std::string kind;
  auto* generate = program.add_subcommand("generate", "man page, completions, JSON Schema: for the build");
  generate->group("");
  generate->add_option("kind", kind, "what")->check(CLI::IsMember(app::generated_kinds()))->required();
  generate->callback([&] { std::cout << app::generate(kind, app::read_command(program)); });

  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : kUsage;
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int result = run(argc, argv);
    std::cout.flush();
    if (imapmux::admin::AdminServer::requests_left()) std::_Exit(result);
    return result;
  } catch (const std::exception& error) {
    std::cerr << "imapmux: " << error.what() << "\n";
    return kProblem;
  }
}
