#include "auth/auth_http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "wire/writer.h"

namespace imapmux::auth {
namespace {

using config::Mechanism;

constexpr base::Millis kLongestWait{60'000};

// As nginx does (NGX_ESCAPE_MAIL_AUTH): control characters, space and "%", and nothing else.
void append_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet > 0x20 && c != '%') {
      out += c;
      continue;
    }
    out += '%';
    out += kDigits[octet >> 4];
    out += kDigits[octet & 15];
  }
}

// A value that comes from a peer cannot begin another header.
void append_header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  for (const char c : value) out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  out += "\r\n";
}

// What passwords come by is all the same to nginx. The names of the others are those of Angie and freenginx.
std::string_view method_of(Mechanism mechanism) {
  switch (mechanism) {
    case Mechanism::kXoauth2:
      return "xoauth2";
    case Mechanism::kOauthbearer:
      return "oauthbearer";
    case Mechanism::kLogin:
    case Mechanism::kPlain:
    case Mechanism::kAuthLogin:
      break;
  }
  return "plain";
}

void append_facts(std::string& out, const ClientFacts& client) {
  append_header(out, "Auth-Protocol", "imap");
  append_header(out, "Auth-Login-Attempt", std::to_string(client.attempt));
  append_header(out, "Client-IP", client.address);
  if (const auto& header = client.proxy_header) {
    append_header(out, "Proxy-Protocol-Addr", header->address);
    append_header(out, "Proxy-Protocol-Port", header->port);
    append_header(out, "Proxy-Protocol-Server-Addr", header->server_address);
    append_header(out, "Proxy-Protocol-Server-Port", header->server_port);
  }
  if (!client.tls) return;
  append_header(out, "Auth-SSL", "on");
  append_header(out, "Auth-SSL-Protocol", client.tls->protocol);
  append_header(out, "Auth-SSL-Cipher", client.tls->cipher);
  const auto& certificate = client.tls->certificate;
  if (!certificate) return;
  append_header(out, "Auth-SSL-Verify", "SUCCESS");
  append_header(out, "Auth-SSL-Subject", certificate->subject);
  append_header(out, "Auth-SSL-Issuer", certificate->issuer);
  append_header(out, "Auth-SSL-Serial", certificate->serial);
  append_header(out, "Auth-SSL-Fingerprint", certificate->fingerprint);
}

size_t room_for(const config::AuthHttp& service, const Credential& credential) {
  size_t room =
      4096 + service.target.size() + 3 * credential.user().size() + 3 * credential.secret.view().size();
  for (const auto& header : service.headers) room += header.name.size() + header.value.view().size() + 4;
  return room;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kSpace) + 1);
}

// "HTTP/1.0 200 OK"; nothing if it is none.
std::optional<int> http_status(std::string_view line) {
  if (!line.starts_with("HTTP/1.") || line.size() < 12 || line[8] != ' ') return std::nullopt;
  int status = 0;
  const auto [end, error] = std::from_chars(line.data() + 9, line.data() + 12, status);
  if (error != std::errc() || end != line.data() + 12) return std::nullopt;
  return status;
}

// Seconds; what is none is as good as no Auth-Wait.
std::optional<base::Millis> parse_wait(std::string_view value) {
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error != std::errc() || end != value.data() + value.size() || seconds <= 0) return std::nullopt;
  return std::min(kLongestWait, base::Millis(std::min<int64_t>(seconds, 3600) * 1000));
}

// A response code in front of the text, such as [UNAVAILABLE].
std::string_view leading_code(std::string_view text) {
  const size_t close = text.find(']');
  if (!text.starts_with('[') || close == std::string_view::npos) return {};
  const auto code = text.substr(1, close - 1);
  const bool atom = std::all_of(code.begin(), code.end(), [](char c) {
    const char up = base::to_upper(c);
    return (up >= 'A' && up <= 'Z') || c == '-' || (c >= '0' && c <= '9');
  });
  return atom ? code : std::string_view();
}

}  // namespace

base::Secret write_question(const config::AuthHttp& service, const Credential& credential,
                            const ClientFacts& client) {
  std::string out;
  out.reserve(room_for(service, credential));  // one buffer, so that one wipe is enough
  out.append("GET ").append(service.target).append(" HTTP/1.0\r\n");
  append_header(out, "Host", service.host);
  append_header(out, "Auth-Method", method_of(credential.mechanism));
  out += "Auth-User: ";
  append_escaped(out, credential.user());
  out += "\r\nAuth-Pass: ";
  append_escaped(out, credential.secret.view());
  out += "\r\n";
  append_facts(out, client);
  for (const auto& header : service.headers) append_header(out, header.name, header.value.view());
  out += "\r\n";
  base::Secret question(out);
  base::wipe(out);
  return question;
}

AnswerParser::~AnswerParser() {
  base::wipe(taken_);
}

AnswerParser::Event AnswerParser::next(std::string_view chunk) {
  if (taken_.empty()) taken_.reserve(kMostOctets);  // one buffer, so that one wipe is enough
  const size_t before = taken_.size();
  taken_.append(chunk.substr(0, kMostOctets - before));
  // The empty line that ends the headers may have begun in an earlier chunk.
  for (size_t at = taken_.find('\n', before - std::min<size_t>(before, 2)); at != std::string::npos;
       at = taken_.find('\n', at + 1)) {
    const auto behind = std::string_view(taken_).substr(at + 1, 2);
    if (behind.starts_with('\n') || behind == "\r\n")
      return parse(std::string_view(taken_).substr(0, at + 1));
  }
  if (taken_.size() == kMostOctets) return malformed("its headers are too large");
  return Event::kNeedMore;
}

AnswerParser::Event AnswerParser::parse(std::string_view head) {
  const size_t first = head.find('\n');
  const auto status = http_status(head.substr(0, first));
  if (!status) return malformed("it does not speak HTTP");
  head.remove_prefix(first + 1);
  while (!head.empty()) {
    const size_t end = head.find('\n');
    const auto line = head.substr(0, end);
    head.remove_prefix(end + 1);
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && !note(line.substr(0, colon), trimmed(line.substr(colon + 1))))
      return malformed(fmt::format("{} is malformed", trimmed(line.substr(0, colon))));
  }
  return judge(*status);
}

// False: the value cannot be used.
bool AnswerParser::note(std::string_view name, std::string_view value) {
  const auto is = [name](std::string_view header) { return base::equals_ignore_case(name, header); };
  if (is("Auth-Status") && (status_.empty() || base::equals_ignore_case(status_, "OK"))) status_ = value;
  if (is("Auth-Error-Code")) error_code_ = value;
  if (is("Auth-Server")) server_ = value;
  if (is("Auth-Port")) port_ = value;
  if (is("Auth-Wait")) answer_.wait = parse_wait(value);
  if (is("Auth-User")) {
    answer_.user = value;
    return !base::has_control(value) && value.size() <= 1024;
  }
  if (is("Auth-Pass")) {
    answer_.password = base::Secret(std::string(value));
    return value.find('\0') == std::string_view::npos;
  }
  return true;
}

// nginx takes the status for what it is worth, and so may its services: it counts against an OK only, and
// where the service is broken.
AnswerParser::Event AnswerParser::judge(int http_status) {
  using Verdict = ServiceAnswer::Verdict;
  if (http_status >= 500 || status_.empty())
    return malformed(fmt::format("HTTP status {}{}", http_status, status_.empty() ? ", no Auth-Status" : ""));
  if (base::equals_ignore_case(status_, "OK")) {
    answer_.verdict = Verdict::kAccepted;
    if (http_status < 200 || http_status > 299) return malformed(fmt::format("HTTP status {}", http_status));
    return settle_server() ? Event::kDone : malformed("Auth-Server or Auth-Port is malformed");
  }
  if (base::equals_ignore_case(status_, "WAIT")) {
    answer_.verdict = Verdict::kAskAgain;
    return Event::kDone;
  }
  // The words are those of nginx's documentation; mail services say it by an SMTP code as well.
  const bool temporary = error_code_.starts_with('4') || base::starts_with_ignore_case(status_, "temporary");
  answer_.verdict = temporary ? Verdict::kUnavailable : Verdict::kRefused;
  std::string_view text = status_;
  const auto code = leading_code(text);
  answer_.code = base::upper(code);
  if (!code.empty()) text = trimmed(text.substr(code.size() + 2));
  wire::write_text(answer_.text, text.empty() ? "Authentication failed" : text);
  return Event::kDone;
}

bool AnswerParser::settle_server() {
  if (server_.empty()) return port_.empty();
  const bool bare_v6 = !server_.starts_with('[') && server_.find(':') != std::string::npos;
  const std::string host = bare_v6 ? "[" + server_ + "]" : server_;
  auto endpoint = base::parse_endpoint(host + ":" + (port_.empty() ? "0" : port_));
  if (!endpoint || endpoint->is_unix() || endpoint->host.empty()) return false;
  if (endpoint->port == 0 && !port_.empty()) return false;
  endpoint->host = base::lower(endpoint->host);
  answer_.server = std::move(*endpoint);
  return true;
}

AnswerParser::Event AnswerParser::malformed(std::string problem) {
  problem_ = std::move(problem);
  return Event::kMalformed;
}

}  // namespace imapmux::auth
