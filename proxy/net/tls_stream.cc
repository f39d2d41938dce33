#include "net/tls_stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <cassert>
#include <cstring>

#include "net/traffic.h"

namespace imapmux::net {
namespace {

// SSL_get_error() goes by what stands in the thread's queue of errors. It is empty but for what a failure has
// left there, and looking is cheaper than clearing.
void clear_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

// OpenSSL's window on a TlsStream: reads from the chunk at hand, writes into the TCP stream's output.
struct TlsBio {
  static TlsStream* of(BIO* bio) { return static_cast<TlsStream*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* to, size_t size, size_t* got) {
    BIO_clear_retry_flags(bio);
    auto* stream = of(bio);
    if (!stream || stream->input_.empty()) {
      // Also at the end: an EOF here is an error for OpenSSL, after which it refuses to write.
      BIO_set_retry_read(bio);
      return 0;
    }
    *got = std::min(size, stream->input_.size());
    std::memcpy(to, stream->input_.data(), *got);
    stream->input_.remove_prefix(*got);
    return 1;
  }

  static int write(BIO* bio, const char* from, size_t size, size_t* put) {
    BIO_clear_retry_flags(bio);
    auto* stream = of(bio);
    if (!stream) return 0;
    stream->below_->output().append(from, size);
    *put = size;
    return 1;
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO_METHOD* method() {
    static BIO_METHOD* made = [] {
      BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "imapmux stream");
      BIO_meth_set_read_ex(fresh, read);
      BIO_meth_set_write_ex(fresh, write);
      BIO_meth_set_ctrl(fresh, control);
      return fresh;
    }();
    return made;
  }
};

TlsStream::TlsStream(std::unique_ptr<TcpStream> below, Ssl ssl, std::shared_ptr<const void> keeps_alive)
    : loop_(below->loop()),
      below_(std::move(below)),
      keeps_alive_(std::move(keeps_alive)),
      ssl_(std::move(ssl)) {
  know_peer({});
  attach_bio();
  below_->set_handler(this);
}

TlsStream::TlsStream(std::unique_ptr<TcpStream> below, Transfer transfer)
    : loop_(below->loop()),
      below_(std::move(below)),
      keeps_alive_(std::move(transfer.keeps_alive)),
      ssl_(std::move(transfer.ssl)),
      held_(std::move(transfer.ciphertext)),
      established_(true) {
  know_peer(std::move(transfer.sni));
  settled_.set();
  BIO_set_data(SSL_get_rbio(ssl_.get()), this);
  below_->set_handler(this);
}

TlsStream::~TlsStream() {
  handler_ = nullptr;
  below_->set_handler(nullptr);
  if (!ssl_) return;
  flush();
  close_notify();
}

void TlsStream::know_peer(std::string sni) {
  auto peer = below_->peer();
  peer.tls = true;
  peer.sni = std::move(sni);
  below_->set_peer(std::move(peer));
}

void TlsStream::attach_bio() {
  BIO* bio = BIO_new(TlsBio::method());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

async::Task<> TlsStream::handshake(base::Millis limit) {
  continue_handshake();
  below_->start_reading();
  auto result = co_await settled_.wait_for(limit);
  if (result != async::WaitResult::kTimeout && problem_.empty()) co_return;
  Traffic::mine(below_->side()).failed_handshakes.add();
  if (result == async::WaitResult::kTimeout)
    throw ConnectionLost(below_->side(), "the TLS handshake took too long");
  throw ConnectionLost(below_->side(), problem_);
}

void TlsStream::continue_handshake() {
  clear_errors();
  const int status = SSL_do_handshake(ssl_.get());
  below_->wrote();
  if (status == 1) {
    established_ = true;
    auto& traffic = Traffic::mine(below_->side());
    (SSL_session_reused(ssl_.get()) ? traffic.resumed_handshakes : traffic.full_handshakes).add();
    if (!plain_.empty()) loop_.add_flushable(*this);
    if (const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name)) know_peer(name);
    settled_.set();
    return;
  }
  const int error = SSL_get_error(ssl_.get(), status);
  if (error == SSL_ERROR_WANT_READ && !eof_) return;
  const long verified = SSL_get_verify_result(ssl_.get());
  if (eof_) {
    fail("closed during the TLS handshake");
  } else if (!SSL_is_server(ssl_.get()) && SSL_get_verify_mode(ssl_.get()) != SSL_VERIFY_NONE &&
             verified != X509_V_OK) {
    fail(std::string("TLS certificate: ") + X509_verify_cert_error_string(verified));
  } else {
    fail("TLS handshake: " + tls_errors());
  }
}

void TlsStream::on_data(std::string_view chunk) noexcept {
  if (!problem_.empty() || eof_told_) return;  // what follows the end is not looked at, and not kept
  if (established_ && (!delivering() || !held_.empty())) {
    held_.append(chunk);  // in its order; resume() has seen to what is held
    if (!delivering()) below_->stop_reading();
    return;
  }
  input_ = chunk;
  advance();
}

void TlsStream::advance() {
  if (!established_ && problem_.empty()) continue_handshake();
  if (established_) deliver();
  // What the BIO has not read by now belongs to later: nobody reads.
  if (!input_.empty()) held_.append(input_);
  input_ = {};
}

void TlsStream::deliver() {
  bool more = true;
  while (more && delivering() && problem_.empty() && !eof_told_) {
    clear_errors();
    size_t size = 0;
    if (SSL_read_ex(ssl_.get(), loop_.plain_buffer(), EventLoop::kPlainBuffer, &size) == 1) {
      loop_.filled_plain_buffer(size);
      handler_->on_data({loop_.plain_buffer(), size});
      more = !input_.empty() || eof_ || SSL_has_pending(ssl_.get());
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), 0);
    if (error == SSL_ERROR_ZERO_RETURN || (error == SSL_ERROR_WANT_READ && eof_)) {
      eof_told_ = true;
      handler_->on_eof();
    } else if (error != SSL_ERROR_WANT_READ) {
      fail("TLS: " + tls_errors());
    }
    break;
  }
  below_->wrote();  // a key update's answer
}

void TlsStream::set_handler(StreamHandler* handler) {
  handler_ = handler;
  resume();
}

void TlsStream::start_reading() {
  if (reading_) return;
  reading_ = true;
  resume();
}

// What no event will announce is delivered from the ready list.
void TlsStream::resume() {
  if (!problem_.empty()) {
    loop_.make_ready(*this);
  } else if (delivering()) {
    const bool more = !held_.empty() || eof_ || SSL_has_pending(ssl_.get()) || SSL_get_shutdown(ssl_.get());
    if (more) loop_.make_ready(*this);
    below_->start_reading();
  }
}

void TlsStream::stop_reading() {
  reading_ = false;
  if (established_) below_->stop_reading();
}

void TlsStream::run() {
  if (!problem_.empty()) {
    if (handler_ && !lost_told_) {
      lost_told_ = true;
      handler_->on_lost(problem_);
    }
    return;
  }
  if (!delivering()) return;
  std::string held = std::move(held_);
  held_.clear();
  input_ = held;
  advance();
}

void TlsStream::write_all(std::initializer_list<std::string_view> pieces) {
  if (!problem_.empty()) return;
  if (plain_.empty() && plain_.capacity() < 64) plain_ = loop_.take_buffer();
  for (const auto piece : pieces) plain_.append(piece);
  if (!plain_.empty()) loop_.add_flushable(*this);
}

void TlsStream::write_through(std::string_view octets) {
  if (!plain_.empty() || !established_) {
    write(octets);
    return;
  }
  encrypt(octets);
  below_->wrote();
}

void TlsStream::finish() {
  if (!established_ || !problem_.empty()) return;
  flush();
  close_notify();
  below_->finish();
}

void TlsStream::close_notify() {
  if (!established_ || !problem_.empty()) return;
  if (SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) return;  // a second call would wait for the peer's
  clear_errors();
  SSL_shutdown(ssl_.get());
  clear_errors();
  below_->wrote();
}

void TlsStream::encrypt(std::string_view octets) {
  while (!octets.empty() && problem_.empty()) {
    clear_errors();
    size_t taken = 0;
    if (SSL_write_ex(ssl_.get(), octets.data(), octets.size(), &taken) != 1) {
      fail("TLS: " + tls_errors());
      return;
    }
    octets.remove_prefix(taken);
  }
}

void TlsStream::flush() {
  if (!established_) return;  // goes out after the handshake
  encrypt(plain_);
  loop_.give_buffer(std::exchange(plain_, std::string()));
  below_->wrote();
}

void TlsStream::on_eof() noexcept {
  eof_ = true;
  if (!established_) {
    if (problem_.empty()) fail("closed during the TLS handshake");
    return;
  }
  if (held_.empty()) deliver();
}

void TlsStream::on_lost(const std::string& reason) noexcept {
  fail(reason);
}

void TlsStream::on_drained() noexcept {
  if (handler_) handler_->on_drained();
}

void TlsStream::fail(const std::string& reason) {
  if (!problem_.empty()) return;
  problem_ = reason;
  below_->wrote();  // our alert
  below_->stop_reading();
  settled_.set();
  loop_.make_ready(*this);
}

void TlsStream::abort() {
  below_->abort();
}

TlsStream::Transfer TlsStream::release(int& fd) {
  flush();
  assert(plain_.empty() && "a hand-over with octets unsent");
  reading_ = false;
  fd = below_->release();
  BIO_set_data(SSL_get_rbio(ssl_.get()), nullptr);
  return {std::move(ssl_), std::move(held_), peer().sni, keeps_alive_};
}

TlsFacts TlsStream::facts() const {
  return facts_of(*ssl_);
}

}  // namespace imapmux::net
