// The readers of the sections, in files of their own. Each reports what is wrong and fills in what is right.
#pragma once

#include <span>

#include "config/config.h"
#include "config/key_table.h"

namespace imapmux::config {

// The whole main file. Nothing if it is no map.
std::optional<Map> read_process(const Value& value, Config& config);

// What is read from the main file, section by section, in an order in which references point backwards.
void read_log(const Value& value, Config& config);
void read_admin(const Value& value, Config& config);
void read_certificates(const Value& value, Config& config);
void read_listeners(const Value& value, Config& config);
void read_backends(const Value& value, Config& config);
void read_routes(const Value& value, Config& config);
void read_limits(const Value& value, Config& config);

// What is used when the section is left out.
void add_default_listeners(const Value& whole, Config& config);
void add_default_route(const Value& whole, Config& config);

// Notes what stands there, if anything does, for OpenSSL to judge.
void note_tls_item(const Map& map, std::string_view key, TlsItem::Kind kind, const std::string& value,
                   Config& config);

// A users file, for its route; reports with the place in that file.
void read_users_file(const Value& value, const Config& config, Route& route);
// The auth_http of a route.
void read_auth_http(const Value& value, Route& route);
// Notes its TLS files for OpenSSL to judge, and warns of passwords in plain text.
void note_auth_http(const Value& value, const AuthHttp& service, Config& config);
// Reports a backend without servers, which a route without auth_http cannot lead to.
void check_has_servers(const Value& value, const Config& config, const std::string& backend);
// Reports a login_as with a placeholder other than {user}, {local}, {domain}.
void check_login_as(const Value& value, std::string_view login_as);

void append_process_keys(std::vector<KeyInfo>& out);
void append_listener_keys(std::vector<KeyInfo>& out);
void append_backend_keys(std::vector<KeyInfo>& out);
void append_route_keys(std::vector<KeyInfo>& out);
void append_auth_http_keys(std::vector<KeyInfo>& out);
void append_limit_keys(std::vector<KeyInfo>& out);

}  // namespace imapmux::config
