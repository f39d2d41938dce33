"""A TLS ticket from before client_ca was demanded does not replace the certificate after the reload.
Also: tickets work on every worker and survive a reload; without a certificate the handshake fails."""
import ssl, subprocess, sys, time
from common import *
import tempfile, os
d = tempfile.mkdtemp()
def sh(*a): subprocess.run(a, check=True, capture_output=True)
sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", d+"/k", "-out", d+"/c", "-subj", "/CN=localhost", "-days", "2")
sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", d+"/cak", "-out", d+"/ca", "-subj", "/CN=clients", "-days", "2")
b = Backend()
def text(ca=""):
    return f"""workers: 4
shutdown_grace: 1s
certificates: [{{certificate: {d}/c, private_key: {d}/k}}]
listeners: [{{name: imap, bind: "127.0.0.1:0", tls: implicit{ca}}}]
backends: {{b: {{servers: ["127.0.0.1:{b.port}"], tls: none, mailbox_access: exclusive}}}}
"""
p = Proxy(text()); port = p.ports()["imap"]
def connect(session=None, version=None):
    cx = ssl.create_default_context(); cx.check_hostname = False; cx.verify_mode = ssl.CERT_NONE
    if version: cx.maximum_version = version
    global ctxs
    s = (session[1] if session else cx).wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=5), session=session[0] if session else None)
    g = s.recv(200); s.sendall(b"a NOOP\r\n"); s.recv(200)
    return g, s.session_reused, (s.session, session[1] if session else cx)
bad = 0
for v in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    p.reload(text())
    g, r, sess = connect(version=v)
    reused = 0
    for _ in range(12):
        g, r, nxt = connect(sess); reused += r
        if r: sess = nxt
    bad |= verdict(reused == 12, f"{v.name}: resumed {reused} of 12 over 4 workers")
    p.reload(); g, r, sess = connect(sess)
    bad |= verdict(r, f"{v.name}: resumed after a reload: {r}")
    p.reload(text(f", client_ca: {d}/ca"))
    try: g, r, _ = connect(version=v); fresh = g
    except (ssl.SSLError, OSError) as e: fresh = b""
    try: g, r, _ = connect(sess)
    except (ssl.SSLError, OSError) as e: g, r = b"", False
    bad |= verdict(not fresh, f"{v.name}: fresh handshake without a certificate: {fresh[:30]}")
    bad |= verdict(not g, f"{v.name}: old ticket without a certificate: {g[:40]}, resumed: {r}")
p.stop(); sys.exit(bad)
