"""SIGTERM in a storm of logins that are handed over: exit 0 in time, no assertion, nobody is dropped without a word."""
import sys, time, threading, random, collections
from common import *
bad = 0; silent = collections.Counter(); total = 0
for turn in range(int(sys.argv[1]) if len(sys.argv) > 1 else 8):
    b = Backend()
    p = Proxy(config(b, workers=int(sys.argv[2]) if len(sys.argv) > 2 else 4, k=0))
    port = p.ports()["imap"]; over = threading.Event(); results = []
    def storm(me):
        n = 0
        while not over.is_set():
            n += 1; got = b""; sent = False
            try:
                s = socket.create_connection(("127.0.0.1", port), timeout=8)
            except OSError: return
            try:
                while b"\n" not in got:
                    d = s.recv(4096)
                    if not d: raise OSError("eof before greeting")
                    got += d
                s.sendall(b"a LOGIN u%d.%d p\r\nb NOOP\r\n" % (me, n)); sent = True
                while b"\nb " not in got and (d := s.recv(4096)): got += d
                if over.is_set(): 
                    while d := s.recv(4096): got += d
            except OSError as e:
                got += b" !" + repr(e).encode()
            if sent: results.append(got)
            s.close()
    ts = [threading.Thread(target=storm, args=(i,)) for i in range(24)]
    [t.start() for t in ts]; time.sleep(0.6 + random.random() * 0.3)
    over.set(); code, took = p.stop(); [t.join() for t in ts]
    total += len(results)
    quiet = [g for g in results if b"BYE" not in g and b"\nb " not in g]
    if quiet: silent[quiet[0][-70:]] += len(quiet)
    log = p.log()
    if code != 0 or took > 5 or "Sanitizer" in log or "Assertion" in log:
        bad |= verdict(False, f"exit {code} after {took:.1f} s: " + "".join(l for l in log.splitlines(True) if " login " not in l and "session ended" not in l)[-3000:])
bad |= verdict(not silent, f"{sum(silent.values())} of {total} clients were dropped in their login without a word: {dict(silent)}")
sys.exit(bad)
