"""Hostile backend that cuts anywhere in FETCH literals; clients check every octet. K from argv."""
import sys, os, random, threading, time, re
sys.path.insert(0, str(__import__("pathlib").Path(__file__).parent))
import rig
seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
K = int(sys.argv[2]) if len(sys.argv) > 2 else 1
secs = float(sys.argv[3]) if len(sys.argv) > 3 else 20
mode = sys.argv[4] if len(sys.argv) > 4 else "shared"
rnd = random.Random(seed)
problems = []
SIZES = [0, 1, 17, 3000, 70000, 400000]
def body(box, uid, part=b""):
    r = random.Random(uid * 1000 + len(part) + sum(part)+sum(box))
    n = SIZES[uid % len(SIZES)]
    chunk = bytes(r.randrange(97, 123) for _ in range(997))
    return (chunk * (n // 997 + 1))[:n]
lock = threading.Lock()
class State:
    def __init__(s):
        s.uids = list(range(1, 13)); s.next = 13
boxes = {}
def st(box): return boxes.setdefault(box.strip(b'"'), State())
open_now = 0; most_open = 0
def handler(c, tag, verb, rest):
    ok = tag + b" OK done\r\n"
    if verb in (b"SELECT", b"EXAMINE"):
        if b"imapmux-" in rest:
            c.box = None; return tag + b" NO none\r\n"
        c.box = rest; s = st(rest)
        with lock:
            c.seen = list(s.uids); nx = s.next
        if rnd.random() < 0.05:
            c.box = None; return tag + b" NO not now\r\n"
        ro = verb == b"EXAMINE" or rnd.random() < 0.1
        return (b"* %d EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT %d] x\r\n" % (len(c.seen), nx)
            + tag + (b" OK [READ-ONLY] x\r\n" if ro else b" OK [READ-WRITE] x\r\n"))
    if c.box is None: return None
    s = st(c.box)
    def news():
        out = b""
        with lock:
            if rnd.random() < 0.05 and len(s.uids) > 3:
                s.uids.pop(rnd.randrange(len(s.uids)))
            if rnd.random() < 0.05 and len(s.uids) < 30:
                s.uids.append(s.next); s.next += 1
            cur = list(s.uids)
        for u in list(c.seen):
            if u not in cur:
                out += b"* %d EXPUNGE\r\n" % (c.seen.index(u) + 1); c.seen.remove(u)
        new = [u for u in cur if u not in c.seen]
        if new:
            c.seen += new; out += b"* %d EXISTS\r\n" % len(c.seen)
        return out
    if verb in (b"NOOP", b"CHECK"): return news() + ok
    if verb == b"UID SEARCH": return b"* SEARCH" + b"".join(b" %d" % u for u in c.seen) + b"\r\n" + ok
    if verb == b"UID FETCH":
        p = rest.split(b" ", 1); items = p[1]
        want = []
        for r in p[0].split(b","):
            a, _, b = r.partition(b":")
            hi = c.seen[-1] if c.seen else 0
            a = hi if a == b"*" else int(a); b = (hi if b == b"*" else int(b)) if b else a
            if a > b: a, b = b, a
            want += [u for u in c.seen if a <= u <= b]
        out = b""
        for u in sorted(set(want)):
            n = c.seen.index(u) + 1
            att = [b"UID %d" % u]
            if b"FLAGS" in items: att.append(b"FLAGS (\\Seen)")
            for m in re.finditer(rb"BODY(?:\.PEEK)?\[([^\]]*)\](<0\.\d+>)?", items):
                x = body(c.box.strip(b'"'), u, m[1])
                att.append(b"BODY[%s]%s {%d}\r\n%s" % (m[1], b"<0>" if m[2] else b"", len(x), x))
            out += b"* %d FETCH (" % n + b" ".join(att) + b")\r\n"
            if rnd.random() < 0.05: out += b"* %d FETCH (FLAGS (\\Seen \\Flagged))\r\n" % rnd.randrange(1, len(c.seen) + 1)
        if b"BODY" in items: out += news()
        out += ok
        if b"BODY" in items and rnd.random() < 0.25:
            cut = rnd.choice([rnd.randrange(len(out) + 1), out.find(b"}\r\n") + 3, len(out) - len(ok)])
            c.s.sendall(out[:cut]); 
            if rnd.random() < 0.3: time.sleep(0.02)
            c.kill(rst=rnd.random() < 0.3)
            raise EOFError
        if b"BODY" in items and rnd.random() < 0.05: return tag + b" NO busy\r\n"
        return out
    return None
b = rig.Backend(handler, caps="IMAP4rev1 UIDPLUS UNSELECT" + (" IDLE" if seed % 2 else ""))
m = rig.Mux(b.port, mode, backend={"connections_per_user": K, "backend_wait": "5s", "lease_wait": "5s"})
stop = time.monotonic() + secs
stats = {"fetch": 0, "no": 0, "bye": 0, "body": 0}
def read_line(c):
    """one whole response with literals: list of (text, literal)"""
    parts = []
    while True:
        l = c.until(b"\r\n")
        mm = re.search(rb"\{(\d+)\}\r\n$", l)
        if not mm: parts.append((l, None)); return parts
        n = int(mm[1]); 
        while len(c.buf) < n:
            d = c.s.recv(65536)
            if not d: raise EOFError(b"in literal %d/%d" % (len(c.buf), n))
            c.buf += d
        parts.append((l, c.buf[:n])); c.buf = c.buf[n:]
def client(i):
    r = random.Random(seed * 100 + i)
    while time.monotonic() < stop:
        try:
            c = rig.Client(m, rcvbuf=r.choice([None, 4096]), timeout=40)
            box = r.choice([b"INBOX", b"Two", b"Three"]); verb = r.choice(["SELECT", "SELECT", "EXAMINE"])
            a = c.cmd(f"{verb} {box.decode()}")
            if b" OK [READ" not in a: c.s.close(); continue
            for _ in range(r.randrange(1, 12)):
                if time.monotonic() > stop: break
                k = r.randrange(1, 4); tags = []
                out = b""
                for _ in range(k):
                    rig.Client._n += 1; t = b"x%d" % rig.Client._n; tags.append(t)
                    it = r.choice([b"BODY.PEEK[]", b"(UID BODY.PEEK[1] BODY.PEEK[2])", b"(FLAGS BODY.PEEK[])", b"RFC822", b"(BODY[TEXT] RFC822)"])
                    set_ = r.choice([b"1", b"1:3", b"*", b"2,4:5"])
                    out += t + b" UID FETCH " + r.choice([b"1:6", b"4:9", b"5", b"11:*"]) + b" " + it + b"\r\n" if r.random() < 0.5 else t + b" FETCH " + set_ + b" " + it + b"\r\n"
                c.send(out)
                x = r.random()
                if x < 0.05: time.sleep(r.random() * 0.05); c.rst(); raise EOFError("mine")
                if x < 0.08: c.send(b"zz LOGOUT\r\n")
                while tags:
                    if r.random() < 0.02: time.sleep(0.05)
                    parts = read_line(c)
                    first = parts[0][0]
                    if first.startswith(b"* BYE"): stats["bye"] += 1; raise EOFError("bye")
                    t = first.split(b" ")[0]
                    if t in tags:
                        pass
                        tags.remove(t); stats["fetch"] += 1
                        if b" NO " in first: stats["no"] += 1
                        elif b" BAD " in first and b"no message of that" not in first: problems.append((i, first))
                    if b" FETCH (" in first:
                        text = b"".join(p[0] for p in parts)
                        um = re.search(rb"UID (\d+)", text)
                        for tx, lit in parts:
                            if lit is None: continue
                            stats["body"] += 1
                            nm = re.search(rb"(BODY\[([^\]]*)\]|RFC822(\.TEXT)?) \{", tx)
                            if not nm: problems.append((i, "name", tx)); continue
                            part = nm[2] or b""
                            if um and lit != body(box, int(um[1]), part): problems.append((i, "octets", text[:200], len(lit)))
                            elif not um and not any(lit == body(box, u, part) for u in range(1, 400)): problems.append((i, "octets of nobody", text[:200], len(lit)))
                if r.random() < 0.4: c.cmd("NOOP")
            if r.random() < 0.5: c.cmd("LOGOUT")
            c.s.close()
        except (EOFError, ConnectionError) as e:
            if "in literal" in str(e): stats["cutoff"] = stats.get("cutoff", 0) + 1
        except (OSError, TimeoutError) as e:
            problems.append((i, "timeout", repr(e)))
            return
ths = [threading.Thread(target=client, args=(i,)) for i in range(6)]
[t.start() for t in ths]; [t.join() for t in ths]
print(stats, "problems:", len(problems))
for p in problems[:10]: print(" ", p)
try:
    t=time.time(); m.stop(); print("stopped in %.1f" % (time.time()-t), m.dir)
except RuntimeError as e: print("DIED", m.dir, str(e)[-3000:])
sys.exit(bool(problems))
