"""A reload that meets a FIFO (users_file, token_file, the file itself) does not keep SIGTERM from working."""
import os, sys, time
from common import *
b = Backend(); p = Proxy(config(b)); os.mkfifo(p.dir + "/fifo")
p.config.write_text(config(b, extra="routes: [{users_file: fifo},{backend: b}]")); p.process.send_signal(signal.SIGHUP); time.sleep(0.3)
code, took = p.stop(8)
sys.exit(verdict(code == 0, f"exit {code} after {took:.1f} s"))
