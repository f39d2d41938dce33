"""After a login (and a little traffic) the password is in the process once, to connect again with (`exclusive`), or nowhere
(`unrestricted`, or where a master user connects), and nowhere when the client has gone. Run it with a release build: the debug
build overwrites read buffers. Reads /proc/PID/mem of the process it started."""
import base64, collections, ssl, subprocess, sys, tempfile, time
from common import *
d = tempfile.mkdtemp(); subprocess.run(["openssl","req","-x509","-newkey","ec","-pkeyopt","ec_paramgen_curve:P-256","-nodes","-keyout",d+"/k","-out",d+"/c","-subj","/CN=localhost","-days","2"],capture_output=True)
cx = ssl.create_default_context(); cx.check_hostname = False; cx.verify_mode = ssl.CERT_NONE
pw = b"Sw0rdfishSw0rdfishUnique77"; sasl = base64.b64encode(b"\0u1\0" + pw)
def scan(pid):
    n = 0
    for l in open(f"/proc/{pid}/maps"):
        r = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", l)
        if not r: continue
        with open(f"/proc/{pid}/mem", "rb", 0) as mem:
            try: mem.seek(int(r[1], 16)); x = mem.read(int(r[2], 16) - int(r[1], 16))
            except OSError: continue
        n += x.count(pw) + x.count(sasl)
    return n
found = {}
for access, master, kept in (("exclusive", "", 1), ("exclusive", ", login: {master_user: m, master_password: n}", 0),
                             ("unrestricted", "", 0)):
 for workers in (1, 4):
  for how, lines in (("LOGIN", [b"a LOGIN u1 " + pw]), ("PLAIN-IR", [b"a AUTHENTICATE PLAIN " + sasl]), ("PLAIN", [b"a AUTHENTICATE PLAIN", sasl])):
    for tls in (False, True):
        b = Backend()
        p = Proxy(f"""workers: {workers}
certificates: [{{certificate: {d}/c, private_key: {d}/k}}]
listeners: [{{name: n, bind: "127.0.0.1:0", tls: none}}, {{name: i, bind: "127.0.0.1:0", tls: implicit}}]
backends: {{b: {{servers: ["127.0.0.1:{b.port}"], tls: none, mailbox_access: {access}, connections_per_user: 0{master}}}}}
""")
        s = socket.create_connection(("127.0.0.1", p.ports()["i" if tls else "n"]), timeout=5)
        if tls: s = cx.wrap_socket(s)
        f = s.makefile("rb"); f.readline()
        for i, line in enumerate(lines):
            if i: f.readline()
            s.sendall(line + b"\r\n")
        while not f.readline().startswith(b"a OK"): pass
        s.sendall(b"c NOOP\r\n"); f.readline(); time.sleep(0.1)
        case = (access, master, workers, how, "tls" if tls else "plain")
        if (n := scan(p.process.pid)) > kept: found[case] = n
        s.sendall(b"d LOGOUT\r\n")
        while f.readline(): pass
        time.sleep(0.2)
        if n := scan(p.process.pid): found[case + ("afterwards",)] = n
        p.stop()
sys.exit(verdict(not found, f"copies left: {found}"))
