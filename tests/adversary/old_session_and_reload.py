"""A client that connected before a reload and logs in after it must not bring the old settings back for all."""
import sys, time
sys.path.insert(0, str(__import__("pathlib").Path(__file__).parent))
import rig, signal
b = rig.Backend(caps="IMAP4rev1 UNSELECT")
m = rig.Mux(b.port, "shared", backend={"connections_per_user": 3})
a = rig.Client(m)              # the account
old = rig.Client(m, login=False)
conf = m.dir / "c.yaml"
conf.write_text(conf.read_text().replace('"connections_per_user": 3', '"connections_per_user": 1'))
m.p.send_signal(signal.SIGHUP); time.sleep(0.5)
new = rig.Client(m)            # the account has K = 1 now
print(old.cmd("LOGIN bob secret"))
cs = [a, new, old]
for c, box in zip(cs, ["A", "B", "C"]): print(c.cmd(f"SELECT {box}").splitlines()[-1])
n = sum(1 for c in b.conns if c.ended is None)
print("connections", n)
m.stop()
sys.exit(n > 1)
