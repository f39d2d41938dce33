"""login_timeout ends whoever does not log in, whatever else he does meanwhile: BYE where it can be said."""
import sys
from common import *

bad = 0
folder = tempfile.mkdtemp(prefix="adversary.")
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", f"{folder}/k", "-out", f"{folder}/c", "-days", "2", "-subj", "/CN=localhost"],
               check=True, capture_output=True)
backend = Backend()
p = Proxy(config(backend, access="shared", limits="{login_timeout: 2s, max_clients: 400}",
                 head=f"certificates: [{{certificate: {folder}/c, private_key: {folder}/k}}]")
          .replace("tls: none}\nbackends", 'tls: none}\n  - {name: imaps, bind: "127.0.0.1:0", tls: implicit}\nbackends'))
port = p.ports()["imap"]
results = {}


def sit(name, what, to=port, greeting=True):
    began = time.time()
    c = Client(to, greeting=greeting, timeout=10)
    try:
        what(c)
        got = c.f.read()
    except OSError as e:
        got = str(e).encode()
    results[name] = (time.time() - began, got)


def chatter(c):
    while b"n OK" in c.cmd(b"n NOOP"):
        time.sleep(0.1)


cases = {
    "silent": (lambda c: None, True), "noop": (chatter, True),
    "in AUTHENTICATE": (lambda c: c.send(b"a AUTHENTICATE PLAIN\r\n"), True),
    "in a literal": (lambda c: c.send(b"a LOGIN {3}\r\nb"), True),
    "half a line": (lambda c: c.send(b"a LOG"), True),
    "no handshake": (lambda c: None, False), "half a handshake": (lambda c: c.send(b"\x16\x03\x01\x02\x00"), False),
}
threads = [threading.Thread(target=sit, args=(name, what, port if plain else p.ports()["imaps"], plain))
           for name, (what, plain) in cases.items()]
threads += [threading.Thread(target=sit, args=(f"crowd {i}", lambda c: None)) for i in range(300)]
for t in threads:
    t.start()
for t in threads:
    t.join(20)
for name, (what, plain) in cases.items():
    took, got = results[name]
    said = name == "noop" or b"* BYE" in got if plain else got == b""
    bad |= verdict(1.5 < took < 4 and said, f"{name}: ended after {took:.1f} s with {got[-60:]!r}")
crowd = [results[f"crowd {i}"] for i in range(300)]
bad |= verdict(all(1.5 < took < 5 and b"* BYE" in got for took, got in crowd), f"300 silent ones: after {max(t for t, _ in crowd):.1f} s at most")
c = Client(port)
a = c.cmd(b"a LOGIN bob x")
time.sleep(3)
bad |= verdict(b"a OK" in a and b"n OK" in c.cmd(b"n NOOP"), "who has logged in stays")
p.stop()
sys.exit(bad)
