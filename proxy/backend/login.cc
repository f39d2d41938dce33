// Logging in to a backend: which mechanism, how a refusal is understood.
#include "backend/open.h"
#include "base/bytes.h"
#include "wire/writer.h"

namespace imapmux::backend {
namespace {

using async::Task;
using base::Secret;
using config::LoginMechanism;
using config::Mechanism;

// LOGIN unless the server forbids it: GNU imap4d hangs in AUTHENTICATE PLAIN, and UW and Courier do not list
// AUTH=PLAIN though it works. An authorization identity needs PLAIN: LOGIN has no place for it.
LoginMechanism choose(const BackendConnection& connection, const config::Backend& backend,
                      const auth::Credential& credential) {
  if (credential.mechanism == Mechanism::kXoauth2) return LoginMechanism::kXoauth2;
  if (credential.mechanism == Mechanism::kOauthbearer) return LoginMechanism::kOauthbearer;
  if (backend.mechanism != LoginMechanism::kAuto) return backend.mechanism;
  const bool acts_for_another =
      !credential.authorization_id.empty() && credential.authorization_id != credential.authentication_id;
  if (acts_for_another || connection.capabilities().has("LOGINDISABLED")) return LoginMechanism::kPlain;
  return LoginMechanism::kLogin;
}

// An argument of LOGIN: quoted, or a literal where quotes can't hold it.
void append_argument(std::string& out, std::string_view value) {
  out += ' ';
  if (wire::quotable(value)) {
    wire::write_quoted(out, value);
  } else {
    out += "{" + std::to_string(value.size()) + "}\r\n";
    out += value;
  }
}

Task<TaggedReply> login_command(BackendConnection& connection, const auth::Credential& credential,
                                std::string login_name) {
  std::string text = "LOGIN";
  text.reserve(64 + login_name.size() + 2 * credential.secret.view().size());
  append_argument(text, login_name);
  append_argument(text, credential.secret.view());
  Secret holder(text);
  base::wipe(text);
  auto reply = co_await connection.run_secret(std::move(holder));
  co_return reply;
}

// AUTHENTICATE with one message from us. `challenge` gets what a server says to a refused OAuth token.
Task<TaggedReply> authenticate(BackendConnection& connection, std::string mechanism, Secret message,
                               std::string& challenge) {
  const Secret encoded(auth::encode_base64(message.view()));
  auto reply = co_await connection.authenticate(std::move(mechanism), encoded.view(), challenge);
  co_return reply;
}

// The connection stops parsing behind the last answer of a login, so that a relay can go on with every octet.
Task<> capabilities_after_login(BackendConnection& connection, const TaggedReply& reply) {
  if (reply.code == "CAPABILITY") {
    connection.set_capabilities(Capabilities(reply.code_arguments));
    co_return;
  }
  connection.go_on();
  connection.stop_after_answer();
  co_await connection.run("CAPABILITY");
}

Task<LoginOutcome> finish(BackendConnection& connection, TaggedReply reply, std::string challenge) {
  LoginOutcome outcome;
  outcome.reply = std::move(reply);
  outcome.challenge = std::move(challenge);
  if (!outcome.reply.ok()) {
    outcome.verdict = classify_refusal(outcome.reply);
    connection.go_on();
    co_return outcome;
  }
  outcome.verdict = LoginVerdict::kAccepted;
  co_await capabilities_after_login(connection, outcome.reply);
  co_return outcome;
}

}  // namespace

LoginVerdict classify_refusal(const TaggedReply& reply) {
  for (const std::string_view code : {"LIMIT", "UNAVAILABLE", "INUSE", "SERVERBUG"})
    if (reply.code == code) return LoginVerdict::kNoSlot;
  // ALERT says nothing about the reason: "[ALERT] Too many simultaneous connections" (Gmail).
  if (!reply.code.empty() && reply.code != "ALERT") return LoginVerdict::kRefused;
  // Cyrus: "Too many open connections (2 of 2 for user1)", without a code.
  const auto text = base::lower(reply.text);
  for (const std::string_view words : {"too many", "maximum number of connections", "connection limit"})
    if (text.find(words) != std::string::npos) return LoginVerdict::kNoSlot;
  return LoginVerdict::kRefused;
}

Task<LoginOutcome> log_in(BackendConnection& connection, const config::Backend& backend,
                          const auth::Credential& credential, std::string login_name) {
  std::string challenge;
  TaggedReply reply;
  connection.stop_after_answer();
  switch (choose(connection, backend, credential)) {
    case LoginMechanism::kAuto:
    case LoginMechanism::kLogin:
      reply = co_await login_command(connection, credential, login_name);
      break;
    case LoginMechanism::kPlain:
      reply =
          co_await authenticate(connection, "PLAIN", auth::compose_plain(credential, login_name), challenge);
      challenge.clear();
      break;
    case LoginMechanism::kXoauth2:
      reply = co_await authenticate(connection, "XOAUTH2", auth::compose_xoauth2(credential, login_name),
                                    challenge);
      break;
    case LoginMechanism::kOauthbearer:
      reply = co_await authenticate(connection, "OAUTHBEARER",
                                    auth::compose_oauthbearer(credential, login_name), challenge);
      break;
  }
  auto outcome = co_await finish(connection, std::move(reply), std::move(challenge));
  co_return outcome;
}

Task<LoginOutcome> log_in_as_master(BackendConnection& connection, const config::Backend& backend,
                                    std::string login_name) {
  auth::Credential master;
  master.mechanism = Mechanism::kPlain;
  master.authentication_id = backend.master_user;
  master.authorization_id = login_name;
  master.secret = backend.master_password.clone();
  std::string challenge;
  connection.stop_after_answer();
  auto reply = co_await authenticate(connection, "PLAIN", auth::compose_plain(master, login_name), challenge);
  auto outcome = co_await finish(connection, std::move(reply), {});
  co_return outcome;
}

}  // namespace imapmux::backend
