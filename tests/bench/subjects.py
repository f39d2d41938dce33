"""What is measured, and at which work."""
import dataclasses
import typing

import peers
from lab import LOOPBACK


@dataclasses.dataclass(frozen=True)
class Work:
    """What the load generator does, and for how many units of the figures one of its operations stands."""
    name: str
    unit: str  # of the figures
    arguments: tuple
    connections: int = 16
    text: str = ""
    units: float = 1
    tls: typing.Literal["both", "only"] = "both"

    @property
    def is_login(self):
        return self.arguments[-1] == "login"


WORKS = {work.name: work for work in (
    Work("login", "login", ("login",)),
    Work("resumed", "login, TLS resumed", ("--resume", "--warm-up", "32", "login"), tls="only"),
    Work("warm", "warm login", ("--users", "64", "--warm-up", "128", "login")),
    Work("command", "NOOP", ("command",), text="NOOP"),
    Work("pipelined", "NOOP, 50 in flight", ("--depth", "50", "command"), text="NOOP"),
    Work("fetch", "FETCH of 1 KiB", ("command",), text="FETCH 1 BODY.PEEK[]"),
    Work("bulk", "MB", ("command",), connections=4, text="UID FETCH 2 BODY.PEEK[]", units=10.48576),
)}


@dataclasses.dataclass(frozen=True)
class Subject:
    """program: None is the backend itself, else a function of a Site; see lab.py."""
    key: str
    title: str
    program: typing.Callable | None
    works: frozenset
    peer: bool = False
    tls: bool = True
    sees_logins: bool = True
    logins_at_a_time: int = 16
    users_per_mailbox: int = 1  # idle: how many clients share a user
    idle: bool = True

    def at(self, work):
        """The work as this subject gets it: up-imapproxy's listen backlog is 5, and clients beyond it may wait for ever."""
        return dataclasses.replace(work, connections=min(work.connections, self.logins_at_a_time)) if work.is_login else work

    def does(self, work, tls):
        return work.name in self.works and (self.tls or not tls) and (tls or work.tls == "both")


def imapmux(access, workers=1, **more):
    """The proxy's command line with this mailbox_access; `more` keys of the backend."""
    def program(site):
        certificates = ""
        if site.tls:
            certificates = f"certificates: [{{names: [bench], certificate: {site.lab.certificate}, private_key: {site.lab.key}}}]"
        keys = "".join(f", {key}: {value}" for key, value in more.items())
        return [site.lab.build / "proxy/imapmux", "serve", "--config", site.file("imapmux.yaml", f"""workers: {workers}
log: {{level: warn}}
{certificates}
listeners: [{{name: bench, bind: "{LOOPBACK}:{site.port}", tls: {"implicit" if site.tls else "none"}}}]
backends:
  fake: {{servers: ["{LOOPBACK}:{site.backend}"], tls: none, mailbox_access: {access}, health_check: off{keys}}}
routes: [{{backend: fake}}]
""")]
    return program


_CONNECTED = frozenset(WORKS) - {"login", "resumed", "warm"}
_COLD = frozenset(WORKS) - {"warm"}
_WARM = frozenset(WORKS) - {"login", "resumed"}

SUBJECTS = {subject.key: subject for subject in (
    Subject("none", "no proxy", None, _COLD, idle=False),
    Subject("nginx", "nginx mail", peers.nginx, _COLD, peer=True),
    Subject("haproxy", "HAProxy (TCP)", peers.haproxy, _COLD, peer=True, sees_logins=False),
    Subject("haproxy-splice", "HAProxy, splice-auto", peers.haproxy_splice, _COLD, peer=True, tls=False, sees_logins=False),
    # What splicing brings; no peer, since the goals name splice-auto.
    Subject("haproxy-spliced", "HAProxy, splice-response", peers.haproxy_spliced, frozenset({"command", "fetch", "bulk"}), tls=False,
            sees_logins=False, idle=False),
    Subject("dovecot", "Dovecot's proxy", peers.dovecot, _COLD, peer=True),
    Subject("imapproxy", "up-imapproxy", peers.imapproxy, _WARM, peer=True, tls=False, logins_at_a_time=4),
    Subject("imapproxy-cold", "up-imapproxy, new users", peers.imapproxy, frozenset({"login"}), peer=True, tls=False,
            logins_at_a_time=4, idle=False),
    Subject("perdition", "perdition", peers.perdition, _COLD, peer=True),
    Subject("unrestricted", "imapmux unrestricted", imapmux("unrestricted"), _COLD),
    Subject("exclusive", "imapmux exclusive", imapmux("exclusive"), _COLD),
    Subject("shared", "imapmux shared", imapmux("shared"), _WARM),
    Subject("shared-cold", "imapmux shared, no cache", imapmux("shared", credential_ttl="0s", account_linger="0s"),
            frozenset({"login", "resumed"}), idle=False),
    Subject("shared-2-workers", "imapmux shared, 2 workers", imapmux("shared", workers=2), frozenset({"warm", "command"}), idle=False),
    Subject("shared-crowd", "imapmux shared, 100 clients per mailbox", imapmux("shared"), frozenset(), users_per_mailbox=100),
)}
