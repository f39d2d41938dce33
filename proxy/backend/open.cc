#include "backend/open.h"

#include "backend/take_place.h"
#include "base/log_event.h"
#include "net/connect.h"
#include "net/tls_stream.h"

namespace imapmux::backend {
namespace {

using async::Task;
using base::Millis;

base::log::Event failed_event{base::log::Level::kWarn, "backend connection failed",
                              base::log::Event::Volume::kLimited};

// With a server that is full.
constexpr Millis kPatience{3'000};
constexpr Millis kLookAgain{50};

Task<> learn_capabilities(BackendConnection& connection) {
  if (!connection.capabilities().empty()) co_return;
  auto reply = co_await connection.run("CAPABILITY");
  if (!reply.ok()) throw net::ConnectionLost(net::Side::kBackend, "CAPABILITY was refused: " + reply.text);
}

// Only where it is offered before login; and who does not want to know it is a server all the same.
Task<> tell_client_id(BackendConnection& connection, const Origin& origin) {
  if (!connection.capabilities().has("ID")) co_return;
  auto reply = co_await connection.run(id_command(origin));
  if (!reply.ok()) base::log::debug("session {}: ID was refused: {}", origin.session, reply.text);
}

std::string tls_name(const config::Backend& backend, const base::Endpoint& endpoint) {
  return backend.server_name.empty() ? endpoint.host : backend.server_name;
}

Task<std::unique_ptr<net::TlsStream>> wrap(std::unique_ptr<net::TcpStream> tcp,
                                           std::shared_ptr<BackendServers> servers, std::string name,
                                           Millis limit) {
  auto session = servers->tls()->open(name);
  auto tls = std::make_unique<net::TlsStream>(std::move(tcp), std::move(session), servers);
  co_await tls->handshake(limit);
  co_return tls;
}

Task<> start_tls(BackendConnection& connection, std::shared_ptr<BackendServers> servers, std::string name,
                 Millis limit) {
  // A greeting in the clear is anybody's: a PREAUTH would make us skip TLS.
  if (connection.greeted_preauth()) throw net::ConnectionLost(net::Side::kBackend, "PREAUTH before STARTTLS");
  auto reply = co_await connection.run("STARTTLS");
  if (!reply.ok()) throw net::ConnectionLost(net::Side::kBackend, "STARTTLS was refused: " + reply.text);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast): connect_to() made it
  std::unique_ptr<net::TcpStream> tcp(static_cast<net::TcpStream*>(connection.take_stream().release()));
  auto tls = co_await wrap(std::move(tcp), std::move(servers), std::move(name), limit);
  connection.set_stream(std::move(tls));
  connection.set_capabilities({});
}

// Several source addresses are used in turn: each gives its own 64,000 ports, and its own place in limits per
// address. For a numeric server address only those of its family can be used.
std::optional<base::IpAddress> next_source(const config::Backend& backend, BackendServers::Server& server) {
  const auto numeric = base::IpAddress::parse(server.endpoint.host);
  std::vector<base::IpAddress> usable;
  for (const auto& source : backend.source_addresses)
    if (!numeric || numeric->is_v4() == source.is_v4()) usable.push_back(source);
  if (usable.empty()) return std::nullopt;
  return usable[server.attempts.fetch_add(1) % usable.size()];
}

}  // namespace

Task<std::unique_ptr<BackendConnection>> connect_to(net::EventLoop& loop,
                                                    std::shared_ptr<BackendServers> servers,
                                                    std::shared_ptr<BackendServers::Server> server,
                                                    MaybeOrigin origin, Millis limit, Millis keepalive) {
  const auto& backend = servers->config();
  net::ConnectOptions options;
  options.limit = limit;
  options.keepalive = keepalive;
  options.source = next_source(backend, *server);

  const auto began = loop.now();
  auto tcp = co_await net::connect(loop, server->endpoint, options);
  tcp->write(proxy_header(backend.send_proxy, origin));
  const auto name = tls_name(backend, server->endpoint);
  std::unique_ptr<net::Stream> stream;
  if (backend.tls == config::BackendTls::kImplicit) {
    auto tls = co_await wrap(std::move(tcp), servers, name, limit);
    stream = std::move(tls);
  } else {
    stream = std::move(tcp);
  }
  auto connection = std::make_unique<BackendConnection>(loop, std::move(stream), backend.command_timeout);
  // A server that greets and then says nothing is as good as down.
  async::Timer deadline(loop, [raw = connection.get()] { raw->abort("no answer after the greeting"); });
  deadline.start(limit);
  co_await connection->greet(limit);
  if (connection->greeted_preauth())
    throw net::ConnectionLost(net::Side::kBackend, "PREAUTH: it is logged in as somebody");
  if (backend.tls == config::BackendTls::kStarttls) co_await start_tls(*connection, servers, name, limit);
  co_await learn_capabilities(*connection);
  server->connect_time.note(std::chrono::duration_cast<Millis>(loop.now() - began), loop.now());
  if (backend.send_client_id && origin) co_await tell_client_id(*connection, *origin);
  connection->server = std::move(server);
  co_return connection;
}

Task<std::unique_ptr<BackendConnection>> open_connection(net::EventLoop& loop,
                                                         std::shared_ptr<BackendServers> servers,
                                                         std::string login_name, MaybeOrigin origin,
                                                         Millis keepalive) {
  std::string problem;
  const auto candidates = servers->choose(login_name, loop.now());
  if (candidates.empty()) problem = "down, as the health checks say, or drained";
  for (const auto& server : candidates) {
    auto permit = co_await take_place(loop, server->limit, servers->config().backend_wait);
    if (!permit) throw BackendUnavailable("no connection became free (max_connections)");
    std::unique_ptr<BackendConnection> connection;
    const auto until = loop.now() + kPatience;
    for (bool again = true; again;) {
      again = false;
      try {
        connection =
            co_await connect_to(loop, servers, server, origin, servers->config().connect_timeout, keepalive);
      } catch (const net::OutOfDescriptors& error) {
        throw BackendUnavailable(error.what());  // our failure, not the server's: it is not down
      } catch (const TurnedAway& error) {
        // Courier still counts a connection (MAXPERIP) for a moment after it has closed it.
        again = server->limit->is_shared() && loop.now() < until;
        problem = error.what();
      } catch (const net::ConnectionLost& error) {
        problem = error.what();
      }
      if (again) co_await async::sleep_for(kLookAgain);
    }
    if (connection) {
      servers->succeeded(*server, loop.now());
      connection->permit = std::move(*permit);
      connection->stay = UsersThere::enter(server->users, login_name);
      co_return connection;
    }
    failed_event.write({{"backend", servers->config().name},
                        {"server", server->endpoint.to_string()},
                        {"user", login_name},
                        {"reason", problem}});
    servers->failed(*server, loop.now(), problem);
    problem.insert(0, server->endpoint.to_string() + ": ");
  }
  throw BackendUnavailable(problem);
}

}  // namespace imapmux::backend
