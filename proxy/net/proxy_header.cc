#include "net/proxy_header.h"

#include "async/wait.h"
#include "net/proxy_protocol.h"

namespace imapmux::net {
namespace {

using Origin = ProxyHeader::Origin;

// Lives in the frame of the task that waits for the header.
class HeaderReader final : public StreamHandler {
 public:
  explicit HeaderReader(TcpStream& stream) : stream_(stream) {
    stream_.set_handler(this);
    stream_.start_reading();
  }
  ~HeaderReader() {
    stream_.stop_reading();
    stream_.set_handler(nullptr);
  }
  HeaderReader(const HeaderReader&) = delete;
  HeaderReader& operator=(const HeaderReader&) = delete;

  async::Event settled;
  std::string problem;
  const ProxyHeader& header() const { return parser_.header(); }

 private:
  void on_data(std::string_view chunk) noexcept override {
    const auto event = parser_.next(chunk);
    if (event == ProxyHeaderParser::Event::kNeedMore) return;
    stream_.stop_reading();
    stream_.put_back(chunk);
    settle(parser_.problem());
  }
  void on_eof() noexcept override { settle("closed before the PROXY header"); }
  void on_lost(const std::string& reason) noexcept override { settle(reason + " before the PROXY header"); }
  void settle(const std::string& with) {
    problem = with;
    settled.set();
  }

  TcpStream& stream_;
  ProxyHeaderParser parser_;
};

PeerFacts peer_by(const ProxyHeader& header, PeerFacts proxy) {
  switch (header.origin) {
    case Origin::kProxy:
      break;
    case Origin::kUnknown:
      proxy.origin_unknown = true;
      break;
    case Origin::kUnixSocket:
      proxy.address.reset();
      proxy.port = 0;
      break;
    case Origin::kAddress:
      proxy.address = header.address;
      proxy.port = header.port;
      proxy.local_address = header.local_address;
      proxy.local_port = header.local_port;
      proxy.told_by_proxy = true;
      break;
  }
  return proxy;
}

}  // namespace

async::Task<> receive_proxy_header(TcpStream& stream) {
  HeaderReader reader(stream);
  co_await reader.settled.wait();
  if (!reader.problem.empty()) throw ConnectionLost(stream.side(), reader.problem);
  stream.set_peer(peer_by(reader.header(), stream.peer()));
}

}  // namespace imapmux::net
