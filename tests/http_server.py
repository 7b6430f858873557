"""A server on this computer that sends files, breaks off, or refuses, as a test asks."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves ``files`` and counts the requests in ``asked``; a request uses up one of ``faults``: cut, or a status."""

    def __init__(self):
        self.files, self.faults, self.asked = {}, [], []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        pass  # a client that goes away in the middle


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, name = self.server, self.path[1:]
        server.asked.append(name)
        fault, content = server.faults.pop(0) if server.faults else None, server.files[name]
        self.close_connection = True
        if isinstance(fault, int):
            return self.send_error(fault)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)


@contextlib.contextmanager
def running():
    """A server on a free port of this computer, until the end of the block."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
