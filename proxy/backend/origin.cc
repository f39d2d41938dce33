#include "backend/origin.h"

#include "net/proxy_protocol.h"
#include "wire/writer.h"

namespace imapmux::backend {
namespace {

using net::ProxyHeader;

ProxyHeader header_of(const MaybeOrigin& origin) {
  ProxyHeader header;
  header.origin = ProxyHeader::Origin::kProxy;
  if (!origin) return header;
  const auto& client = origin->client;
  if (client.origin_unknown) {
    header.origin = ProxyHeader::Origin::kUnknown;
  } else if (!client.address) {
    header.origin = ProxyHeader::Origin::kUnixSocket;
  } else {
    // Where it connected to is told along; without that the header cannot say where it comes from.
    const auto local = client.local_address ? *client.local_address : *client.address;
    header = {ProxyHeader::Origin::kAddress, *client.address, client.port, local, client.local_port};
  }
  return header;
}

void add_field(std::string& out, std::string_view name, std::string_view value) {
  out += out.ends_with('(') ? "" : " ";
  wire::write_quoted(out, name);
  out += ' ';
  wire::write_quoted(out, value);
}

}  // namespace

bool tells_origin(const config::Backend& backend) {
  return backend.send_proxy != config::SendProxy::kNone || backend.send_client_id;
}

std::string proxy_header(config::SendProxy version, const MaybeOrigin& origin) {
  switch (version) {
    case config::SendProxy::kNone:
      return {};
    case config::SendProxy::kV1:
      return net::write_proxy_header(header_of(origin), net::ProxyHeaderVersion::kText);
    case config::SendProxy::kV2:
      return net::write_proxy_header(header_of(origin), net::ProxyHeaderVersion::kBinary);
  }
  return {};
}

std::string id_command(const Origin& origin) {
  const auto& client = origin.client;
  std::string command = "ID (";
  add_field(command, "x-session-id", origin.session);
  if (client.address && !client.origin_unknown) {
    add_field(command, "x-originating-ip", client.address->to_string());
    add_field(command, "x-originating-port", std::to_string(client.port));
  }
  if (client.local_address) {
    add_field(command, "x-connected-ip", client.local_address->to_string());
    add_field(command, "x-connected-port", std::to_string(client.local_port));
  }
  return command + ")";
}

}  // namespace imapmux::backend
