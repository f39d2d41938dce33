#include "app/demo.h"

#include <fmt/core.h>

#include <cstdio>
#include <iostream>

#include "app/serve.h"
#include "app/server.h"
#include "config/config_loader.h"
#include "demo/legacy_imapd.h"
#include "demo/quirks_option.h"
#include "demo/sample_mail.h"

namespace imapmux::app {
namespace {

void furnish_for_load(demo::MailStore& store, const std::string& user, unsigned mailboxes) {
  for (unsigned box = 0; box < mailboxes; ++box) {
    const std::string name = box == 0 ? "INBOX" : "box" + std::to_string(box);
    if (box > 0) store.create(user, name);
    for (int i = 1; i <= 10; ++i)
      store.append(
          user, name,
          fmt::format("From: sender@example.org\r\nTo: {}@example.org\r\nSubject: message {} of {}\r\n"
                      "Message-ID: <{}.{}.{}@demo>\r\n\r\nToken seed-{}-{}-{}\r\n",
                      user, i, name, user, name, i, user, name, i));
  }
}

std::string demo_config(uint16_t port, uint16_t backend_port) {
  return fmt::format(
      "workers: 1\n"
      "log: {{level: info}}\n"
      "listeners:\n"
      "  - {{name: demo, bind: \"127.0.0.1:{}\", tls: none}}\n"
      "backends:\n"
      "  legacy:\n"
      "    servers: [\"127.0.0.1:{}\"]\n"
      "    tls: none\n"
      "    poll_interval: 10s\n",
      port, backend_port);
}

}  // namespace

int run_demo(const DemoOptions& options) {
  block_signals();
  demo::ServerOptions server_options;
  server_options.quirks.second_session = demo::SecondSession::kRefused;
  server_options.users[options.user] = options.password;
  server_options.furnish = demo::add_sample_mail;
  demo::LegacyImapdThread legacy(std::move(server_options));

  const auto loaded = config::load_text(demo_config(options.port, legacy.port()), "demo", ".");
  if (!loaded.config)
    throw std::runtime_error("the demo's configuration: " + loaded.problems.front().message);
  Server server(loaded.config);
  server.start();
  const auto port = server.port("demo");
  std::cout << fmt::format(
                   "\nimapmux demo\n"
                   "  legacy server  127.0.0.1:{}  (one session per mailbox, a second one is refused)\n"
                   "  imapmux        127.0.0.1:{}  user {}, password {}, no TLS\n\n"
                   "Try:  curl -s 'imap://127.0.0.1:{}/INBOX' -u {}:{} -X 'FETCH 1:* (UID FLAGS)'\n"
                   "Ctrl-C ends it.\n\n",
                   legacy.port(), port, options.user, options.password, port, options.user, options.password)
            << std::flush;
  wait_for_end();
  server.stop();
  std::cout << demo::violations_json(legacy.violations()) << std::endl;
  return 0;
}

int run_demo_server(const DemoServerOptions& options) {
  block_signals();
  std::string problem;
  demo::ServerOptions server_options;
  server_options.quirks = demo::parse_quirks(options.quirks, problem);
  if (!problem.empty()) {
    std::cerr << "--quirks: " << problem << "\n";
    return 2;
  }
  if (!options.user.empty()) server_options.users[options.user] = options.password;
  server_options.accept_any_user = options.any_user;
  server_options.furnish = [mailboxes = options.mailboxes](demo::MailStore& store, const std::string& user) {
    furnish_for_load(store, user, mailboxes);
  };
  demo::ImapdSockets sockets;
  sockets.bind.port = options.port;
  raise_descriptor_limit();
  demo::LegacyImapdThread legacy(std::move(server_options), sockets);
  std::cout << "listening on 127.0.0.1:" << legacy.port() << std::endl;
  wait_for_end();
  legacy.stop();
  std::cout << demo::violations_json(legacy.violations()) << std::endl;
  return 0;
}

}  // namespace imapmux::app
