"""A Hugging Face Hub on this machine: how it is searched, listed and fetched from, and how that fails."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

LOGIN_PAGE = b"<!doctype html><title>Log in to this network</title>"
WIKITEXT = "datasets/ggml-org/ci", "wikitext-2-raw-v1.zip"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Request(NamedTuple):
    method: str
    path: str
    range: str | None
    authorization: str | None
    host: str = ""
    cookie: str | None = None


@dataclass
class HubFile:
    """A file, and what becomes of who asks for it."""

    content: bytes
    commit: str = COMMIT
    status: int = 200
    """What the Hub answers; 200 leads on to the storage that has the content."""
    told: dict[str, str] = field(default_factory=dict)
    """Headers of the Hub's answer in place of the true ones."""
    told_later: dict[str, str] = field(default_factory=dict)
    """Headers that take their place from the second answer of a kind on."""
    storage_status: int = 200
    """What the storage answers."""
    sent: bytes | None = None
    """What the storage sends in place of the content."""
    endless: bool = False
    """Whether the storage sends the content again and again."""
    ignores_range: bool = False
    shifted: int = 0
    """How far behind the part that was asked for the storage begins."""
    kind: str = "application/octet-stream"
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next downloads end."""
    hold: threading.Event | None = None
    """What a download waits for in its middle."""
    seconds: float = 0.0
    """How long the storage takes for each tenth of the content."""


@dataclass
class HubRepository:
    """What the Hub tells of a model's repository, besides its files."""

    downloads: int = 0
    likes: int = 0
    updated: str = "2024-08-21T10:27:23.000Z"
    gated: bool | str = False
    tags: tuple[str, ...] = ("gguf", "license:apache-2.0")
    details: dict[str, Any] | None = None
    """What the Hub read of a GGUF file: `total` parameters, `architecture`."""
    status: int = 200
    error_code: str = ""
    more: list[dict[str, Any]] = field(default_factory=list)
    """Files that the list tells of, and that there may not be."""


@dataclass
class Lie:
    """What a list or a search is answered with in place of the truth."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False


class LocalHub:
    """The Hub at 127.0.0.1, and its storage at another host's name."""

    def __init__(self) -> None:
        self.files: dict[str, HubFile] = {}
        self.repositories: dict[str, HubRepository] = {}
        self.requests: list[Request] = []
        self.login_page = False
        """Whether something between here and the Hub answers everything with a page of its own."""
        self.lie: Lie | None = None
        self.instead: Callable[[BaseHTTPRequestHandler], bool] | None = None
        """What may answer a request of any kind in the Hub's place, and tells whether it did."""
        self.answering = threading.Event()
        self.answering.set()
        """Cleared, nothing is said of anything."""
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
        if not repository.startswith("datasets/"):
            self.repositories.setdefault(repository, HubRepository())
        return file

    def add_repository(self, repository: str, **changes: Any) -> HubRepository:
        """Have the Hub hold a model's repository."""
        self.repositories[repository] = HubRepository(**changes)
        return self.repositories[repository]

    def add_wikitext(self, text: str | bytes, **changes: Any) -> HubFile:
        """Have the Hub hold the archive of WikiText-2, with this for its test set."""
        raw = text.encode() if isinstance(text, str) else text
        return self.add(*WIKITEXT, archive({"wikitext-2-raw/wiki.test.raw": raw}), **changes)

    def asked(self, part: str, method: str = "GET") -> list[Request]:
        """The requests so far to addresses that have this part."""
        return [request for request in self.requests if request.method == method and part in request.path]

    def document(self, repository: str, *, files: bool) -> dict[str, Any]:
        """What the Hub's API tells of a repository."""
        told = self.repositories[repository]
        found: dict[str, Any] = {
            "id": repository,
            "modelId": repository,
            "private": False,
            "gated": told.gated,
            "downloads": told.downloads,
            "likes": told.likes,
            "lastModified": told.updated,
            "tags": list(told.tags),
        }
        prefix = f"/{repository}/resolve/main/"
        mine = {path.removeprefix(prefix): f for path, f in self.files.items() if path.startswith(prefix)}
        if files:
            found["sha"] = next((file.commit for file in mine.values()), COMMIT)
            found["siblings"] = [sibling(name, f.content) for name, f in mine.items()] + told.more
            if told.details:
                found["gguf"] = told.details
        return found

    def close(self) -> None:
        self.answering.set()
        for file in self.files.values():
            if file.hold is not None:
                file.hold.set()
        self._server.shutdown()
        self._server.server_close()


def sibling(name: str, content: bytes) -> dict[str, Any]:
    """How the Hub's list tells of a file in large file storage."""
    sha256 = hashlib.sha256(content).hexdigest()
    size = len(content)
    return {
        "rfilename": name,
        "size": size,
        "blobId": hashlib.sha1(name.encode()).hexdigest(),
        "lfs": {"sha256": sha256, "size": size, "pointerSize": 130},
    }


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
            hub.requests.append(
                Request(
                    self.command,
                    self.path,
                    headers["Range"],
                    headers["Authorization"],
                    headers["Host"],
                    headers["Cookie"],
                )
            )
            if hub.instead is not None and hub.instead(self):
                return
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            if "/resolve/" in path or path.startswith("/api/"):
                hub.answering.wait()
            if hub.login_page:
                self._send(200, {"Content-Type": "text/html"}, LOGIN_PAGE)
            elif path.startswith("/storage"):
                self._store(hub.files[path.removeprefix("/storage")])
            elif path.startswith("/api/") and hub.lie is not None:
                self._tell_lie(hub.lie)
            elif path == "/api/models":
                self._search(parse_qs(parts.query))
            elif path.startswith("/api/models/"):
                self._tell_of(path.removeprefix("/api/models/"))
            elif file := self._file(path):
                self._resolve(file, path)
            else:
                self._send(404, {"X-Error-Code": "EntryNotFound"})

        def _file(self, path: str) -> HubFile | None:
            repository, _, rest = path.partition("/resolve/")
            revision, _, name = rest.partition("/")
            file = hub.files.get(f"{repository}/resolve/main/{name}")
            return file if file and revision in ("main", file.commit) else None

        def _resolve(self, file: HubFile, path: str) -> None:
            if file.status != 200:
                codes = {401: "GatedRepo", 403: "GatedRepo"} if "gated" in path else {}
                self._send(file.status, {"X-Error-Code": codes.get(file.status, "")})
                return
            repository, _, rest = path.partition("/resolve/")
            storage = f"{repository}/resolve/main/{rest.partition('/')[2]}"
            self._send(
                302,
                {
                    "X-Repo-Commit": file.commit,
                    "X-Linked-Etag": f'"{hashlib.sha256(file.content).hexdigest()}"',
                    "X-Linked-Size": str(len(file.content)),
                    "Location": f"http://localhost:{hub.port}/storage{storage}",
                    **file.told,
                    **(file.told_later if len(hub.asked(self.path, self.command)) > 1 else {}),
                },
            )

        def _store(self, file: HubFile) -> None:
            if file.storage_status != 200:
                self._send(file.storage_status, {"Retry-After": "30"})
                return
            content = file.content if file.sent is None else file.sent
            start = 0
            asked = None if file.ignores_range else self.headers["Range"]
            if asked:
                start = int(asked.removeprefix("bytes=").partition("-")[0])
            start += file.shifted if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("Content-Type", file.kind)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if file.endless:
                self.close_connection = True
                self.send_header("Connection", "close")
                self.end_headers()
                self._write_for_ever(content)
                return
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + file.cuts.pop(0) if file.cuts else len(content)
            middle = (start + end) // 2 if file.hold else start
            self.wfile.write(content[start:middle])
            if file.hold:
                file.hold.wait()
            step = max(1, (end - middle) // 10) if file.seconds else max(1, end - middle)
            for at in range(middle, end, step):
                self.wfile.write(content[at : min(end, at + step)])
                time.sleep(file.seconds)
            self.close_connection = end < len(content)

        def _search(self, asked: dict[str, list[str]]) -> None:
            words = " ".join(asked.get("search", [])).lower().split()
            found = [
                hub.document(name, files=False)
                for name, told in hub.repositories.items()
                if all(word in name.lower() for word in words)
                and all(tag in told.tags for tag in asked.get("filter", []))
            ]
            found.sort(key=lambda told: -told["downloads"])
            self._send_json(found[: int(asked.get("limit", ["1000"])[0])])

        def _tell_of(self, repository: str) -> None:
            told = hub.repositories.get(repository)
            if told is None:
                self._send(
                    401 if not self.headers["Authorization"] else 404, {"X-Error-Code": "RepoNotFound"}
                )
            elif told.status != 200:
                self._send(told.status, {"X-Error-Code": told.error_code, "Retry-After": "300"})
            else:
                self._send_json(hub.document(repository, files=True))

        def _tell_lie(self, lie: Lie) -> None:
            headers = {"Content-Type": lie.kind, **lie.headers}
            if not lie.endless:
                self._send(lie.status, headers, lie.body)
                return
            self.close_connection = True
            self.send_response(lie.status)
            for name, value in {**headers, "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            self._write_for_ever(b" " * (1 << 20))

        def _write_for_ever(self, content: bytes) -> None:
            while True:
                self.wfile.write(content)

        def _send_json(self, document: object) -> None:
            self._send(
                200, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(document).encode()
            )

        def _send(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                if value:
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
