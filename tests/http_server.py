"""A server on this computer that continues downloads as it should, or truncates, stalls and lies, as a test asks."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves ``files``; a request uses up one of ``faults``: cut, stall, late, ignore-range, shift, or a status."""

    def __init__(self):
        self.files, self.faults, self.ranges, self.tag, self.stop = {}, [], [], '"v1"', threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        pass  # a client that goes away in the middle is what some tests are about


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, content = self.server, self.server.files[self.path[1:]]
        fault = server.faults.pop(0) if server.faults else None
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        self.close_connection = True
        if isinstance(fault, int):
            return self.send_error(fault)
        if fault == "late":
            return server.stop.wait(5)
        start = 0
        if asked and fault != "ignore-range" and self.headers.get("If-Range") == server.tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
            start -= 10 * (fault == "shift")
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if server.tag:
            self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if fault in ("cut", "stall"):
            body = body[: len(body) // 2]
        self.wfile.write(body)
        if fault == "stall":
            self.wfile.flush()
            server.stop.wait(5)


@contextlib.contextmanager
def running():
    """A server on a free port of this computer, until the end of the block."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.stop.set()
        server.shutdown()
