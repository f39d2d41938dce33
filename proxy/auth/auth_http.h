// nginx's auth_http protocol (ngx_mail_auth_http_module): what a service is asked at a login, and what it
// answers. Octets in and out, no I/O; secrets stay in base::Secret. The body of an answer is of no interest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "auth/sasl.h"
#include "base/address.h"
#include "base/time.h"
#include "config/config.h"

namespace imapmux::auth {

// What the service is told of the client.
struct ClientFacts {
  struct ProxyHeader {
    std::string address;
    std::string port;
    std::string server_address;
    std::string server_port;
  };
  struct Certificate {
    std::string subject;
    std::string issuer;
    std::string serial;
    std::string fingerprint;
  };
  struct Tls {
    std::string protocol;
    std::string cipher;
    std::optional<Certificate> certificate = std::nullopt;
  };
  std::string address;  // "192.0.2.7", "unix:"
  std::optional<ProxyHeader> proxy_header = std::nullopt;
  std::optional<Tls> tls = std::nullopt;
  uint32_t attempt = 1;  // to log in, on this connection
};

// The request, as nginx writes it. Of an OAuth mechanism the token is the password.
base::Secret write_question(const config::AuthHttp& service, const Credential& credential,
                            const ClientFacts& client);

struct ServiceAnswer {
  enum class Verdict : uint8_t {
    kAccepted,
    kRefused,
    kUnavailable,  // it can't say now
    kAskAgain,     // after `wait`
  };
  Verdict verdict = Verdict::kUnavailable;
  std::string code;  // of a refusal, if the text began with one (RFC 3501, 7.1), upper case
  std::string text;  // for people
  std::optional<base::Millis> wait = std::nullopt;
  // Of kAccepted, in place of what the client and the route say; empty: no change.
  std::optional<base::Endpoint> server = std::nullopt;  // port 0: the usual one
  std::string user;
  base::Secret password;
};

// Reads one answer, in pieces of any size, as far as the end of its headers. Wipes what it has read.
class AnswerParser {
 public:
  enum class Event : uint8_t { kNeedMore, kDone, kMalformed };
  static constexpr size_t kMostOctets = 16 * 1024;

  AnswerParser() = default;
  ~AnswerParser();
  AnswerParser(const AnswerParser&) = delete;
  AnswerParser& operator=(const AnswerParser&) = delete;

  // After kDone and kMalformed it is not called again.
  Event next(std::string_view chunk);
  ServiceAnswer take() { return std::move(answer_); }
  const std::string& problem() const { return problem_; }

 private:
  Event parse(std::string_view head);
  Event judge(int http_status);
  bool note(std::string_view name, std::string_view value);
  bool settle_server();
  Event malformed(std::string problem);

  std::string taken_;
  ServiceAnswer answer_;
  std::string problem_;
  std::string status_;  // Auth-Status
  std::string error_code_;
  std::string server_;
  std::string port_;
};

}  // namespace imapmux::auth
