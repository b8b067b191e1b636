"""A web server on this machine that serves files by ranges, counts, and fails as it is told to.

It is written from RFC 9110 alone and knows nothing of who reads, so that its counts are a witness.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PIECE_BYTES = 1 << 16


@dataclass
class Served:
    """What a server does, and what it did.

    Attributes:
        folder: Whose files are served, by name.
        url: Where.
        ranges: Whether it gives ranges; else it answers every request with the whole file.
        statuses: What the next requests are answered with instead, one each.
        always: What every request is answered with instead.
        breaks: So many of the next answers end in the middle.
        more_bytes: So many more than were asked for follow in every answer, whose length says so.
        lengths: Whether it says how long an answer is.
        wait_seconds: How long it waits before an answer.
        etags: Whether it sends entity tags.
        dates: Whether it says when a file was changed.
        needs: A text that a request's query must have, or it is forbidden.
        requests: Every request: method, path and what range it asked for.
        sent_bytes: Of all answers together, without headers.
    """

    folder: Path
    url: str = ""
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    always: int | None = None
    breaks: int = 0
    more_bytes: int = 0
    lengths: bool = True
    wait_seconds: float = 0.0
    etags: bool = True
    dates: bool = True
    needs: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    sent_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def forget(self) -> None:
        """Begin to count anew."""
        self.requests.clear()
        self.sent_bytes = 0


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve a folder's files over HTTP, on a free port of 127.0.0.1."""
    served = Served(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            return

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            asked = self.headers.get("Range", "")
            with served.lock:
                served.requests.append((self.command, self.path, asked))
                status = served.statuses.pop(0) if served.statuses else served.always
                breaks = served.breaks > 0 and status is None
                served.breaks -= breaks
            time.sleep(served.wait_seconds)
            where = urlsplit(self.path)
            path = folder / unquote(where.path).lstrip("/")
            if status is None and served.needs and served.needs not in where.query:
                status = 403
            if status is None and not path.is_file():
                status = 404
            if status is not None:
                self.refuse(status)
                return
            size = path.stat().st_size
            tag = hashlib.sha256(f"{size} {path.stat().st_mtime_ns}".encode()).hexdigest()[:16]
            if self.headers.get("If-Match", f'"{tag}"') not in (f'"{tag}"', "*"):
                self.refuse(412)
                return
            start, end, status = 0, size, 200
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
            if found and served.ranges:
                start, end = int(found[1]), min(int(found[2] or size - 1) + 1, size)
                status = 206
                if start >= size:
                    self.refuse(416)
                    return
            self.send_response(status)
            if served.lengths:
                self.send_header("Content-Length", str(end - start + served.more_bytes))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            if served.etags:
                self.send_header("ETag", f'"{tag}"')
            if served.dates:
                self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
            self.end_headers()
            if body:
                self.send(path, start, start + (end - start) // 2 if breaks else end)
            if body and served.more_bytes:
                self.send(Path("/dev/zero"), 0, served.more_bytes)
            if breaks or not served.lengths:
                self.close_connection = True

        def send(self, path: Path, start: int, end: int) -> None:
            try:
                with path.open("rb") as file:
                    file.seek(start)
                    while start < end and (piece := file.read(min(_PIECE_BYTES, end - start))):
                        with served.lock:  # before whoever asked has it, and asks for the sum
                            served.sent_bytes += len(piece)
                        self.wfile.write(piece)
                        start += len(piece)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # whoever asked wants no more

        def refuse(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
