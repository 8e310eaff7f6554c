"""A Hugging Face Hub on this machine: its protocol for fetching a file, and the ways in which that fails."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

LOGIN_PAGE = b"<!doctype html><title>Log in to this network</title>"
WIKITEXT = "datasets/ggml-org/ci", "wikitext-2-raw-v1.zip"


class Request(NamedTuple):
    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class HubFile:
    """A file, and what becomes of who asks for it."""

    content: bytes
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    status: int = 200
    """What the Hub answers; 200 leads on to the storage that has the content."""
    sent: bytes | None = None
    """What the storage sends in place of the content."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next downloads end."""
    hold: threading.Event | None = None
    """What a download waits for in its middle."""


class LocalHub:
    """The Hub at 127.0.0.1, and its storage at another host's name."""

    def __init__(self) -> None:
        self.files: dict[str, HubFile] = {}
        self.requests: list[Request] = []
        self.login_page = False
        """Whether something between here and the Hub answers everything with a page of its own."""
        self.answering = threading.Event()
        self.answering.set()
        """Cleared, nothing is said of any file."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def add(self, repository: str, name: str, content: bytes, **changes: Any) -> HubFile:
        """Have the Hub hold a file."""
        file = HubFile(content, **changes)
        self.files[f"/{repository}/resolve/main/{name}"] = file
        return file

    def add_wikitext(self, text: str | bytes, **changes: Any) -> HubFile:
        """Have the Hub hold the archive of WikiText-2, with this for its test set."""
        raw = text.encode() if isinstance(text, str) else text
        return self.add(*WIKITEXT, archive({"wikitext-2-raw/wiki.test.raw": raw}), **changes)

    def asked(self, part: str, method: str = "GET") -> list[Request]:
        """The requests so far to addresses that have this part."""
        return [request for request in self.requests if request.method == method and part in request.path]

    def close(self) -> None:
        self.answering.set()
        for file in self.files.values():
            if file.hold is not None:
                file.hold.set()
        self._server.shutdown()
        self._server.server_close()


def archive(members: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return raw.getvalue()


def _handler(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Tests ask `hub.requests`."""

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            headers = self.headers
            hub.requests.append(Request(self.command, self.path, headers["Range"], headers["Authorization"]))
            if "/resolve/" in self.path:
                hub.answering.wait()
            if hub.login_page:
                self._send(200, {"Content-Type": "text/html"}, LOGIN_PAGE)
            elif self.path.startswith("/storage"):
                self._store(hub.files[self.path.removeprefix("/storage")])
            elif file := hub.files.get(self.path):
                self._resolve(file)
            else:
                self._send(404, {"X-Error-Code": "EntryNotFound"})

        def _resolve(self, file: HubFile) -> None:
            if file.status != 200:
                self._send(file.status)
                return
            self._send(
                302,
                {
                    "X-Repo-Commit": file.commit,
                    "X-Linked-Etag": f'"{hashlib.sha256(file.content).hexdigest()}"',
                    "X-Linked-Size": str(len(file.content)),
                    "Location": f"http://localhost:{hub.port}/storage{self.path}",
                },
            )

        def _store(self, file: HubFile) -> None:
            content = file.content if file.sent is None else file.sent
            start = 0
            if asked := self.headers["Range"]:
                start = int(asked.removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + file.cuts.pop(0) if file.cuts else len(content)
            middle = (start + end) // 2 if file.hold else start
            self.wfile.write(content[start:middle])
            if file.hold:
                file.hold.wait()
            self.wfile.write(content[middle:end])
            self.close_connection = end < len(content)

        def _send(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # whoever asked is gone
                super().handle()

        def finish(self) -> None:
            with contextlib.suppress(OSError):
                super().finish()

    return Handler
