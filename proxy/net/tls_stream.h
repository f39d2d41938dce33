// TLS over a TcpStream's buffers. Reading decrypts straight from the chunk at hand, writing encrypts into the
// turn's output: an idle connection holds no buffer of its own but OpenSSL's state (memory BIOs never
// shrink).
#pragma once

#include <memory>

#include "async/wait.h"
#include "net/tcp_stream.h"
#include "net/tls_context.h"
#include "net/tls_facts.h"

namespace imapmux::net {

class TlsStream final : public Stream, private StreamHandler, private Flushable, private async::ReadyNode {
 public:
  // What moves a TLS connection to another loop. Ciphertext that was read and not used yet comes along.
  struct Transfer {
    Ssl ssl;
    std::string ciphertext;
    std::string sni;
    std::shared_ptr<const void> keeps_alive;
  };

  // `keeps_alive`: what the session's context belongs to (a ServerTls's SNI callback points into it).
  TlsStream(std::unique_ptr<TcpStream> below, Ssl ssl, std::shared_ptr<const void> keeps_alive);
  // Goes on with a connection that comes from another loop.
  TlsStream(std::unique_ptr<TcpStream> below, Transfer transfer);
  ~TlsStream() override;

  // Throws ConnectionLost with the reason: the peer's alert, a certificate that does not verify, the time
  // limit.
  async::Task<> handshake(base::Millis limit);

  void set_handler(StreamHandler* handler) override;
  void start_reading() override;
  void stop_reading() override;
  void write(std::string_view octets) override { write_all({octets}); }
  void write_all(std::initializer_list<std::string_view> pieces) override;
  void write_through(std::string_view octets) override;
  void finish() override;
  size_t unsent() const override { return plain_.size() + below_->unsent(); }
  void abort() override;
  const PeerFacts& peer() const override { return below_->peer(); }
  PeerFacts ends() const override { return below_->ends(); }

  // For a hand-over: nothing may be unsent but what this turn has written and the kernel takes now. This
  // stream is of no use afterwards but to be destroyed.
  Transfer release(int& fd);
  TlsFacts facts() const;
  SocketKind kind() const { return below_->kind(); }

 private:
  friend struct TlsBio;
  void on_data(std::string_view chunk) noexcept override;
  void on_eof() noexcept override;
  void on_lost(const std::string& reason) noexcept override;
  void on_drained() noexcept override;
  void flush() override;
  void encrypt(std::string_view octets);
  void run() override;  // what was held back while nobody read
  void attach_bio();
  void know_peer(std::string sni);
  bool delivering() const { return reading_ && handler_ && established_; }
  void resume();
  void close_notify();
  void advance();
  void continue_handshake();
  void deliver();
  void fail(const std::string& reason);

  EventLoop& loop_;
  std::unique_ptr<TcpStream> below_;
  std::shared_ptr<const void> keeps_alive_;
  Ssl ssl_;
  StreamHandler* handler_ = nullptr;
  std::string_view input_;  // the chunk at hand, for the BIO
  std::string held_;        // ciphertext that came while nobody read
  std::string plain_;       // written and not yet encrypted
  async::Event settled_;    // the handshake has ended, one way or the other
  std::string problem_;
  bool established_ = false;
  bool reading_ = false;
  bool eof_ = false;
  bool eof_told_ = false;
  bool lost_told_ = false;
};

}  // namespace imapmux::net
