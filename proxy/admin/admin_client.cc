#include "admin/admin_client.h"

#include <httplib.h>

namespace imapmux::admin {

AdminAnswer ask_admin(const base::Endpoint& admin, const std::string& path, const std::string& token) {
  httplib::Client client(admin.is_unix() ? admin.path : admin.host, admin.is_unix() ? 80 : admin.port);
  if (admin.is_unix()) {
    client.set_address_family(AF_UNIX);
    client.set_default_headers({{"Host", "localhost"}});
  }
  client.set_connection_timeout(3);
  client.set_read_timeout(5);
  if (!token.empty()) client.set_bearer_token_auth(token.c_str());
  const auto result = client.Get(path.c_str());
  if (!result) return {0, httplib::to_string(result.error())};
  return {result->status, result->body};
}

}  // namespace imapmux::admin
