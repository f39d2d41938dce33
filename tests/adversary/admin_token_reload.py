"""admin.token: 'reload applies' (config/reference.md): an old token must not work after it was replaced."""
import sys, urllib.request, urllib.error
from common import *
b = Backend(); ap = free_port()
t = lambda tok: config(b, head=f'admin: {{bind: "127.0.0.1:{ap}", token: {tok}}}')
p = Proxy(t("oldtoken"))
def ask(tok):
    try:
        return urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{ap}/api/v1/status", headers={"Authorization": "Bearer " + tok}), timeout=5).status
    except urllib.error.HTTPError as e: return e.code
assert ask("oldtoken") == 200 and ask("x") == 401
p.reload(t("newtoken"))
old, new = ask("oldtoken"), ask("newtoken")
warned = "admin" in p.log().split("reload:",1)[1]
p.stop()
sys.exit(verdict((old, new) == (401, 200) or warned, f"after the reload: old token {old}, new token {new}, warned: {warned}"))
