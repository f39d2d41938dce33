"""The PROXY header: who sends it and who must not, its address in limits, delays, routes, logs and status, before TLS,
in pieces, missing, malformed and too late."""
import json
import ssl
import sys
import urllib.request
from common import *

bad = 0
folder = tempfile.mkdtemp(prefix="adversary.")
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", f"{folder}/k", "-out", f"{folder}/c", "-days", "2", "-subj", "/CN=localhost"],
               check=True, capture_output=True)
BALANCER, ELSEWHERE = "127.0.0.2", "127.0.0.3"
admin = free_port()
backend = Backend(users=[b"right", b"bob"])


def text(limits="", trusted="192.0.2.128/25"):
    return f"""workers: 3
shutdown_grace: 2s
log: {{level: debug, protocol_trace: {{client: 192.0.2.99}}}}
admin: {{bind: "127.0.0.1:{admin}"}}
certificates:
  - {{certificate: {folder}/c, private_key: {folder}/k}}
listeners:
  - {{name: imap, bind: "127.0.0.1:0", tls: starttls, proxy_protocol: [{BALANCER}]}}
  - {{name: imaps, bind: "127.0.0.1:0", tls: implicit, proxy_protocol: [{BALANCER}]}}
backends:
  b: {{servers: ["127.0.0.1:{backend.port}"], tls: none, mailbox_access: shared, health_check: off}}
  other: {{servers: ["127.0.0.1:{backend.port}"], tls: none, mailbox_access: shared, health_check: off}}
routes:
  - {{source: [198.51.100.0/24], backend: other}}
  - {{backend: b}}
limits: {{login_timeout: 2s, auth_failure_delay: 1s, trusted_networks: ["{trusted}"] {limits}}}
"""


p = Proxy(text(", max_clients_per_address: 2"))
imap, imaps = p.ports()["imap"], p.ports()["imaps"]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE


class From:
    def __init__(self, header, port=None, source=BALANCER, tls=False, wait=True):
        self.s = socket.create_connection(("127.0.0.1", port or imap), timeout=10, source_address=(source, 0))
        for piece in header if isinstance(header, list) else [header]:
            self.s.sendall(piece)
            time.sleep(0.01)
        if tls:
            self.s = context.wrap_socket(self.s)
        self.f = self.s.makefile("rb")
        if wait:
            try:
                self.greeting = self.f.readline()
            except OSError as e:
                self.greeting = str(e).encode()

    def cmd(self, line):
        self.s.sendall(line + b"\r\n")
        got = b""
        while True:
            one = self.f.readline()
            got += one
            if not one or one.startswith(line.split()[0] + b" "):
                return got

    def close(self):
        self.f.close()
        self.s.close()


def v1(address, port=4000):
    return b"PROXY TCP%c %s 10.0.0.1 %d 143\r\n" % (b"4", address, port)


def v2(address, command=0x21, port=4000):
    block = socket.inet_aton(address.decode()) + b"\x0a\0\0\1" + port.to_bytes(2, "big") + b"\0\x8f"
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, 0x11]) + len(block).to_bytes(2, "big") + block


def status():
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/api/v1/status", timeout=10) as answer:
        return json.load(answer)["sessions"]


def check(holds, what):
    global bad
    bad |= verdict(holds, what)


ok = b"* OK"
# Who sends one.
for what, header in (("version 1", v1(b"192.0.2.7")), ("version 2", v2(b"192.0.2.7")),
                     ("octet by octet", [bytes([o]) for o in v1(b"192.0.2.7")]),
                     ("a command in the same packet", v1(b"192.0.2.7") + b"x NOOP\r\n")):
    c = From(header)
    rest = c.f.readline() if b"x NOOP" in header[-9:] else b"x OK"
    check(c.greeting.startswith(ok) and rest.startswith(b"x OK") and
          any(s["client"] == "192.0.2.7:4000" for s in status()), f"{what}: the status shows the client's address")
    c.close()
    time.sleep(0.1)
c = From(v2(b"192.0.2.8") , port=imaps, tls=True)
check(c.greeting.startswith(ok) and any(s["client"] == "192.0.2.8:4000" and s["tls"] for s in status()),
      "before TLS on an implicit listener")
check(b"a OK" in c.cmd(b"a LOGIN bob x"), "… and a login there, handed over or not")
check(any(s["client"] == "192.0.2.8:4000" and s["user"] == "bob" for s in status()), "… keeps the address")
c.close()
for name in (b"u1", b"u2", b"u3", b"u4"):  # some of them are another worker's
    c = From(v1(b"192.0.2.9"), port=imaps, tls=True)
    c.cmd(b"a LOGIN %sright x" % name)
    seen = [s["client"] for s in status() if s["user"] == name.decode() + "right"]
    check(seen == ["192.0.2.9:4000"], f"{name.decode()}: {seen}")
    c.cmd(b"b LOGOUT")
    c.close()
    time.sleep(0.05)

# Plaintext logins: the client's address decides.
refused = From(v1(b"192.0.2.10"))
check(b"LOGINDISABLED" in refused.greeting and b"NO [PRIVACYREQUIRED]" in refused.cmd(b"a LOGIN bob x"),
      "a balancer on loopback does not make its clients local")
refused.close()
for what, header, local in (("127.0.0.1 by its header", v1(b"127.0.0.1"), True), ("UNKNOWN", b"PROXY UNKNOWN\r\n", False),
                            ("LOCAL", v2(b"192.0.2.1", 0x20), True)):
    c = From(header)
    check(c.greeting.startswith(ok) and (b"LOGINDISABLED" not in c.greeting) == local,
          f"{what}: {'a' if local else 'no'} local client")
    c.close()

# Limits and delays count by it; trusted networks, too.
two = [From(v1(b"192.0.2.20", 1 + i)) for i in range(2)]
third, other = From(v2(b"192.0.2.20")), From(v1(b"192.0.2.21"))
check(all(c.greeting.startswith(ok) for c in two + [other]) and third.greeting.startswith(b"* BYE [UNAVAILABLE]"),
      "max_clients_per_address counts the client's address")
six = [From(b"PROXY TCP6 2001:db8:1:%s ::1 4000 143\r\n" % end) for end in (b"2::1", b"2:3::2", b"2:ffff::3", b"4::1")]
check([c.greeting.startswith(ok) for c in six] == [True, True, False, True], "an IPv6 client counts by its /64 network")
trusted = [From(v1(b"192.0.2.200", 1 + i)) for i in range(5)]
check(all(c.greeting.startswith(ok) for c in trusted), "trusted_networks means the client's address")
for c in two + [other, third] + six + trusted:
    c.close()


def guess(address, times):
    took = []
    for i in range(times):
        c = From(v1(address), port=imaps, tls=True)
        began = time.time()
        c.cmd(b"a LOGIN nobody%d%d x" % (i, int(address.split(b".")[3])))
        took.append(time.time() - began)
        c.close()
    return took


first = guess(b"192.0.2.30", 2)
fresh = guess(b"192.0.2.31", 1)
check(first[1] > 1.8 and fresh[0] < 1.5, f"failures are counted by it: {first[0]:.1f} s, {first[1]:.1f} s; another {fresh[0]:.1f} s")
trusted = guess(b"192.0.2.201", 2)
check(trusted[1] < 1.5, f"but not those of a trusted network: {trusted[0]:.1f} s, {trusted[1]:.1f} s")
c = From(v1(b"198.51.100.7"), port=imaps, tls=True)
c.cmd(b"a LOGIN bob x")
check([s["backend"] for s in status() if s["client"].startswith("198.51.100.7")] == ["other"], "routes see it as the source")
c.close()
c = From(v1(b"192.0.2.99"))
c.cmd(b"traced NOOP")
c.close()
check("traced NOOP" in p.log() and "192.0.2.99:4000" in p.log(), "protocol_trace and the log know it")

# From others none is taken, from the balancer one is demanded.
direct = From(b"", source=ELSEWHERE)
forged = From(b"", source=ELSEWHERE)
answer = forged.cmd(v1(b"192.0.2.40").strip())
check(direct.greeting.startswith(ok) and answer.startswith(b"PROXY BAD") and
      not any("192.0.2.40" in s["client"] for s in status()), f"a header from elsewhere is a command: {answer!r}")
direct.close()
forged.close()
for what, header, line in (("no header", b"a1 NOOP\r\n", "no PROXY header came"),
                           ("a TLS handshake instead", b"\x16\x03\x01\0\5", "no PROXY header came"),
                           ("a malformed one", b"PROXY TCP4 x\r\n", "two addresses and two ports are expected"),
                           ("an endless one", b"PROXY UNKNOWN " + b"x" * 200, "too long")):
    c = From(header)
    check(c.greeting in (b"", b"[Errno 104] Connection reset by peer") and line in p.log(), f"{what}: closed ({c.greeting!r}) and logged")
    c.close()
began = time.time()
slow = From(b"PROXY TCP4 192.0")
took = time.time() - began
check(slow.greeting == b"" and 1.5 < took < 4 and "no PROXY header in time" in p.log(),
      f"half a header: closed after {took:.1f} s (login_timeout: 2s), and logged")

# A reload applies to the connections that come then.
p.reload(text(trusted="127.0.0.0/8").replace(f"proxy_protocol: [{BALANCER}]", f"proxy_protocol: [{ELSEWHERE}]"))
check(From(b"").greeting.startswith(ok) and From(v1(b"192.0.2.7"), source=ELSEWHERE).greeting.startswith(ok), "a reload applies")

# Those without a header have a place of max_clients, and are gone at once when the proxy stops.
waiting = [From(b"PROXY", source=ELSEWHERE, wait=False) for _ in range(3)]
time.sleep(0.2)
code, took = p.stop()
check(code == 0 and took < 1.5, f"the proxy stops with {code} in {took:.1f} s while three headers are awaited")
sys.exit(bad)
