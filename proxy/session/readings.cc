#include "session/readings.h"

#include "mailbox/meter.h"
#include "net/traffic.h"

namespace imapmux::session {
namespace {

void add(Readings::Side& to, const net::SideTraffic& one) {
  to.received += one.received.value();
  to.sent += one.sent.value();
  to.full_handshakes += one.full_handshakes.value();
  to.resumed_handshakes += one.resumed_handshakes.value();
  to.failed_handshakes += one.failed_handshakes.value();
}

}  // namespace

Readings Readings::now() {
  Readings sum;
  base::PerThread<net::Traffic>::for_each([&](const net::Traffic& one) {
    add(sum.clients, one.clients);
    add(sum.backends, one.backends);
    sum.spooled += one.spooled.value();
  });
  base::PerThread<mailbox::Meter>::for_each([&](const mailbox::Meter& one) {
    one.leases_granted.add_to(sum.leases_granted);
    one.leases_refused.add_to(sum.leases_refused);
    sum.caught_up += one.caught_up.value();
    sum.read_again += one.read_again.value();
    sum.began_anew += one.began_anew.value();
    sum.contradictions += one.contradictions.value();
  });
  base::PerThread<Meter>::for_each([&](const Meter& one) {
    for (size_t i = 0; i < Meter::kVerbs; ++i) one.commands[i].add_to(sum.commands[i]);
    sum.retries += one.retries.value();
  });
  return sum;
}

base::Durations::Total Readings::all_commands() const {
  base::Durations::Total all;
  for (const auto& one : commands) {
    for (size_t i = 0; i < all.counts.size(); ++i) all.counts[i] += one.counts[i];
    all.millis += one.millis;
  }
  return all;
}

}  // namespace imapmux::session
