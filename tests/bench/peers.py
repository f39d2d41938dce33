"""The proxies that people use, from Debian's packages: each function writes a configuration and returns the command line.

One worker each, as imapmux gets. What their defaults limit is raised where a benchmark would meet it.
"""
import getpass
import os

from lab import LOOPBACK, free_port


def nginx(site):
    """Asks an HTTP service where to go; a second nginx is that service, and its CPU is not the proxy's."""
    auth = free_port()
    common = "daemon off;\nerror_log stderr crit;\nworker_processes 1;\nevents { worker_connections 8000; }\n"
    paths = " ".join(f"{what}_temp_path {site.folder}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    site.helper(["/usr/sbin/nginx", "-c", site.file("auth.conf", f"""pid {site.folder}/auth.pid;
{common}http {{
  access_log off; {paths}
  server {{
    listen {LOOPBACK}:{auth};
    location / {{
      add_header Auth-Status OK; add_header Auth-Server {LOOPBACK}; add_header Auth-Port {site.backend};
      return 204;
    }}
  }}
}}
""")], auth)
    tls = (f"ssl_certificate {site.lab.certificate}; ssl_certificate_key {site.lab.key}; ssl_protocols TLSv1.2 TLSv1.3;"
           if site.tls else "")
    return ["/usr/sbin/nginx", "-c", site.file("mail.conf", f"""load_module /usr/lib/nginx/modules/ngx_mail_module.so;
pid {site.folder}/mail.pid;
{common}mail {{
  server_name bench;
  auth_http {LOOPBACK}:{auth}/;
  {tls}
  server {{
    listen {LOOPBACK}:{site.port}{" ssl" if site.tls else ""};
    protocol imap; imap_auth plain login; proxy_pass_error_message on;
  }}
}}
""")]


def _haproxy(site, option):
    """Balances TCP: sees no login, and cannot choose a backend by user."""
    tls = f" ssl crt {site.lab.certificate_and_key}" if site.tls else ""
    return ["/usr/sbin/haproxy", "-db", "-f", site.file("haproxy.cfg", f"""global
  maxconn 4000
  nbthread 1
defaults
  mode tcp
  {option}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen imap
  bind {LOOPBACK}:{site.port}{tls}
  server backend {LOOPBACK}:{site.backend}
""")]


def haproxy(site):
    return _haproxy(site, "")


def haproxy_splice(site):
    """strace shows that 2.6 never splices then: it asks whether to when a stream wakes up, which forwarding does not do."""
    return _haproxy(site, "option splice-auto")


def haproxy_spliced(site):
    """Splices all that comes from the backend, however small: each FETCH goes through a pipe."""
    return _haproxy(site, "option splice-response")


def dovecot(site):
    """The proxy in its login processes."""
    root = os.geteuid() == 0
    internal, login = ("dovecot", "dovenull") if root else (getpass.getuser(),) * 2
    services = "" if root else "".join(f"service {name} {{\n  chroot =\n}}\n" for name in ("anvil", "stats", "imap-login"))
    for name in ("run", "state"):
        (site.folder / name).mkdir()
    tls = f"ssl = yes\nssl_cert = <{site.lab.certificate}\nssl_key = <{site.lab.key}" if site.tls else "ssl = no"
    return ["/usr/sbin/dovecot", "-F", "-c", site.file("dovecot.conf", f"""base_dir = {site.folder}/run
state_dir = {site.folder}/state
instance_name = imapmux-bench-{site.port}
log_path = {site.folder}/dovecot.log
protocols = imap
listen = {LOOPBACK}
default_internal_user = {internal}
default_login_user = {login}
default_vsz_limit = 2G
default_client_limit = 8000
disable_plaintext_auth = no
{tls}
auth_mechanisms = plain login
auth_failure_delay = 0
passdb {{
  driver = static
  args = proxy=y host={LOOPBACK} port={site.backend} nopassword=y
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  client_limit = 8000
  inet_listener imap {{
    port = {0 if site.tls else site.port}
  }}
  inet_listener imaps {{
    port = {site.port if site.tls else 0}
    ssl = yes
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
{services}""")]


def imapproxy(site):
    """up-imapproxy: keeps a user's connection for the next login. It has no TLS toward clients."""
    return ["/usr/sbin/imapproxyd", "-f", site.file("imapproxy.conf", f"""server_hostname {LOOPBACK}
server_port {site.backend}
listen_address {LOOPBACK}
listen_port {site.port}
connect_retries 10
connect_delay 1
cache_size 8000
cache_expiration_time 300
proc_username nobody
proc_groupname nogroup
stat_filename {site.folder}/stats
protocol_log_filename {site.folder}/protocol.log
syslog_facility LOG_MAIL
send_tcp_keepalives no
enable_select_cache no
foreground_mode yes
force_tls no
enable_admin_commands no
ipversion_only 4
""")]


def perdition(site):
    """One process per connection."""
    tls = (["--ssl_mode", "ssl_listen", "--ssl_cert_file", site.lab.certificate, "--ssl_key_file", site.lab.key,
            "--ssl_no_cert_verify"] if site.tls else ["--ssl_mode", "none"])
    return ["/usr/sbin/perdition.imap4", "--no_daemon", "--config_file", "/dev/null", "--protocol", "IMAP4", "--bind_address",
            LOOPBACK, "--listen_port", site.port, "--outgoing_server", LOOPBACK, "--outgoing_port", site.backend, "--no_lookup",
            "--map_library", "", "--server_resp_line", "--pid_file", "", "--log_facility", "-", "--username", "nobody",
            "--group", "nogroup", "--quiet", *tls]
