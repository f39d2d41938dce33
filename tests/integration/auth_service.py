"""A service that speaks nginx's auth_http protocol, over https: what people run beside nginx's mail proxy."""
import http.server
import ssl
import threading

from common import LOOPBACK, certificates


class AuthService:
    """answer: of the request's headers, gives those of the answer. Counts how many requests are under way at once."""

    def __init__(self, answer):
        self._answer = answer
        self._lock = threading.Lock()
        self._now = self.most = self.asked = 0

    def __enter__(self):
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                with service._lock:
                    service.asked += 1
                    service._now += 1
                    service.most = max(service.most, service._now)
                try:
                    answer = service._answer(self.headers)
                finally:
                    with service._lock:
                        service._now -= 1
                self.send_response(200)
                for name, value in answer.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates().certificate, certificates().key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}/auth"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
