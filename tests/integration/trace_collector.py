"""An OTLP collector for tests: keeps the bytes of every export, and understands none of them."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Collector:
    """Where to send spans, and what came."""

    def __init__(self, url: str, received: list[bytes]) -> None:
        self.url = url
        self.received = received


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen on a free port for the length of the block."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            zipped = self.headers.get("Content-Encoding") == "gzip"
            received.append(gzip.decompress(body) if zipped else body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening = threading.Thread(target=server.serve_forever, daemon=True)
    listening.start()
    try:
        yield Collector(f"http://127.0.0.1:{server.server_port}", received)
    finally:
        server.shutdown()
        server.server_close()
        listening.join()
