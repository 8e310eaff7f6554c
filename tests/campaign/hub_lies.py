"""The lies of a Hub: each changes what a stage tells, in a way that its random numbers choose."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from local_hub import COMMIT, LOGIN_PAGE, HubFile, Lie, LocalHub, sibling

OWNER, NAME = "someone/Tiny-GGUF", "tiny-f16.gguf"
TOKEN = "hf_campaignOfLies4242"
_ESCAPE = "\x1b]0;owned\x07"


@dataclass
class Stage:
    """A case: the Hub, another server, and the file that is to be had."""

    random: random.Random
    hub: LocalHub
    elsewhere: LocalHub
    file: HubFile
    content: bytes


Told = Callable[[Stage], None]


# What is told of a file


def _version(stage: Stage) -> None:
    value = stage.random.choice(
        (
            '"../../../../outside"',
            '".."',
            '"."',
            "",
            '""',
            f'"{"a" * 5000}"',
            f'"{_ESCAPE}"',
            '"/etc/passwd"',
            f'"{64 * "a"}.incomplete"',
            'W/"x',
            '"a b"',
            f'"{TOKEN}"',
            '"..\\\\x"',
            f'"{64 * "0"}"',
            '"\xff"',
        )
    )
    stage.file.told[stage.random.choice(("X-Linked-Etag", "ETag"))] = value


def _commit(stage: Stage) -> None:
    stage.file.told["X-Repo-Commit"] = stage.random.choice(
        (
            "..",
            "../../../outside",
            "main",
            "",
            "0" * 39,
            "A" * 40,
            "f" * 40,
            _ESCAPE,
            "0" * 5000,
            "refs/main",
            TOKEN,
        )
    )


def _size(stage: Stage) -> None:
    size = len(stage.content)
    stage.file.told["X-Linked-Size"] = stage.random.choice(
        (
            "-1",
            "0",
            str(size + 1),
            str(max(0, size - 1)),
            str(1 << 40),
            str(1 << 62),
            "9" * 400,
            "x",
            "",
            "1e9",
            "1_0",
        )
    )


def _changes(stage: Stage) -> None:
    stage.file.told_later = stage.random.choice(
        (
            {"X-Linked-Etag": '"another"', "X-Linked-Size": "5"},
            {"X-Repo-Commit": "f" * 40},
            {"X-Linked-Size": str(1 << 50)},
            {"X-Linked-Etag": '".."'},
            {"Location": "file:///etc/passwd"},
        )
    )


def _sent_on(stage: Stage) -> None:
    """The file is elsewhere, or nowhere; the other server has something else."""
    other = stage.elsewhere
    other.add(OWNER, NAME, stage.content, sent=stage.random.choice((None, b"other", stage.content[::-1])))
    storage = f"127.0.0.1:{other.port}/storage/{OWNER}/resolve/main/{NAME}"
    stage.file.told["Location"] = stage.random.choice(
        (
            f"http://{storage}",
            f"http://localhost:{other.port}/x",
            f"//{storage}",
            "file:///etc/passwd",
            "ftp://x/",
            f"http://127.0.0.1:{stage.hub.port}@localhost:{other.port}/",
            "javascript:alert(1)",
            "http://",
            "http://[::1",
            f"http://u:p@{storage}",
            f"/{OWNER}/resolve/main/{NAME}",
            f"http://{_ESCAPE}/",
            "http://127.0.0.1:99999/",
            "x" * 70_000,
        )
    )
    if stage.random.random() < 0.3:
        stage.file.told["Set-Cookie"] = f"session={TOKEN}; Domain=localhost; Path=/"


def _in_pieces(stage: Stage) -> None:
    route = stage.random.choice((stage.elsewhere.endpoint, stage.hub.endpoint, "file:///etc/passwd", "x"))
    stage.file.told |= {"X-Xet-Hash": "e" * 64, "X-Xet-Refresh-Route": f"{route}/permit"}
    if stage.random.random() < 0.5:
        stage.file.told["X-Linked-Size"] = str(60 * 10**9)
        stage.hub.repositories[OWNER].more = [{**sibling(NAME, stage.content), "size": 60 * 10**9}]


def _refusal(stage: Stage) -> None:
    status = stage.random.choice(
        (400, 401, 402, 403, 404, 408, 410, 416, 418, 429, 451, 500, 502, 503, 504, 599)
    )
    if stage.random.random() < 0.5:
        stage.file.status = status
    else:
        stage.file.storage_status = status
    said = f"{_ESCAPE}{TOKEN}\u202e".encode().decode("latin-1")
    stage.hub.repositories[OWNER].error_code = stage.random.choice(
        ("", "GatedRepo", "RepoNotFound", "x" * 9000)
    )
    stage.file.told |= {"X-Error-Message": said, "Retry-After": "9" * 400}


# What is sent of it


def _content(stage: Stage) -> None:
    file, size = stage.file, len(stage.content)
    match stage.random.randrange(8):
        case 0:
            file.sent = stage.random.randbytes(size)
        case 1:
            file.sent = stage.content[: size // 2]
        case 2:
            file.sent = stage.content + b"x" * 70_000
        case 3:
            file.endless, file.sent = True, b"x" * 65_536
        case 4:
            file.sent, file.kind = LOGIN_PAGE, "text/html"
        case 5:
            file.shifted = stage.random.choice((-5, 1, 1000))
        case 6:
            file.cuts = [stage.random.randrange(size + 1) for _ in range(3)]
        case _:
            file.sent, file.ignores_range = gzip.compress(stage.content), True


def _storage(stage: Stage) -> None:
    """The storage breaks the protocol, or is slow."""
    size = len(stage.content)
    head = stage.random.choice(
        (
            f"HTTP/1.1 200 OK\r\nContent-Length: {size + 9}\r\n\r\n",
            f"HTTP/1.1 200 OK\r\nContent-Length: {size // 2}\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 206 X\r\nContent-Range: bytes 7-9/*\r\n\r\n",
            "HTTP/1.1 206 X\r\nContent-Range: x\r\n\r\n",
            "garbage\r\n\r\n",
            "",
            "HTTP/9.9 999 \x1b[2J\r\n\r\n",
            "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 20_000 + "\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n" * 1000,
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
            f"HTTP/1.1 302 X\r\nLocation: /storage/{OWNER}\r\n\r\n",
            f"HTTP/1.1 302 X\r\nLocation: {stage.elsewhere.endpoint}/x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5",
        )
    )
    _answered_raw(stage, "/storage", "GET", head, stage.content, slow=stage.random.random() < 0.15)


def _metadata(stage: Stage) -> None:
    """What tells of the file breaks the protocol, or is slow."""
    head = stage.random.choice(
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            "garbage\r\n\r\n",
            "",
            f"HTTP/1.1 302 X\r\nLocation: /{OWNER}/resolve/main/{NAME}\r\n\r\n",
            "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 20_000 + "\r\n",
            f"HTTP/1.1 200 OK\r\nX-Repo-Commit: {COMMIT}\r\n\r\n",
            f"HTTP/1.1 307 X\r\nLocation: {stage.elsewhere.endpoint}/{OWNER}/resolve/main/{NAME}\r\n\r\n",
        )
    )
    _answered_raw(stage, "/resolve/", "HEAD", head, b"", slow=stage.random.random() < 0.2)


# What is listed


def _list_document(stage: Stage) -> None:
    """The true list, with values of other types in some of its places."""
    document: Any = stage.hub.document(OWNER, files=True)
    for _ in range(stage.random.randint(1, 4)):
        _change_somewhere(document, stage.random)
    lists = [document] if stage.random.random() < 0.3 else document
    stage.hub.lie = Lie(json.dumps(lists).encode())


def _list_names(stage: Stage) -> None:
    rng = stage.random
    odd = (
        "../x.gguf",
        "/etc/x.gguf",
        "a\x1b[2J.gguf",
        "\u202e.gguf",
        "\ud800.gguf",
        "a/../../x.gguf",
        "x" * 500,
        f"{TOKEN}.gguf",
        "a\\b.gguf",
        "",
        ".",
        "é" * 300 + ".gguf",
        "a\n.gguf",
        "CON.gguf",
        "a.gguf/b.gguf",
        "a-00001-of-00000.gguf",
        "b-00001-of-99999.gguf",
        "-m.gguf",
        "$(x).gguf",
        "[b].gguf",
    )
    stage.hub.repositories[OWNER].more = [
        {**sibling("x", b"x"), "rfilename": rng.choice(odd)} for _ in range(rng.randint(1, 30))
    ]
    stage.hub.repositories[OWNER].tags = ("gguf", f"license:{_ESCAPE}{TOKEN}\u202e", rng.choice(odd))
    stage.hub.repositories[OWNER].details = {
        "architecture": _ESCAPE + TOKEN,
        "total": rng.choice((-1, 10**30, "x")),
    }


def _list_length(stage: Stage) -> None:
    many = stage.random.choice((1_000, 99_999, 1_000_000))
    ending = stage.random.choice((".gguf", "-00001-of-99999.gguf", ".json"))
    files = ",".join(f'{{"rfilename":"{number}{ending}"}}' for number in range(many))
    stage.hub.lie = Lie(f'{{"id":"{OWNER}","sha":"{COMMIT}","siblings":[{files}]}}'.encode())


def _list_text(stage: Stage) -> None:
    deep = stage.random.choice((100, 5_000, 1_000_000))
    body = stage.random.choice(
        (
            LOGIN_PAGE,
            b"",
            b"null",
            b"17",
            b'"x"',
            b"[" * deep,
            b'{"a":' * deep,
            b"[" * deep + b"]" * deep,
            b"\xff\xfe",
            b"{" + b'"a":1,' * 100_000 + b'"b":2}',
            b"[" + b"[]," * 3_000_000 + b"[]]",
            b"9" * 5000,
            b"1e999999",
            b"NaN",
        )
    )
    stage.hub.lie = Lie(
        body, kind=stage.random.choice(("application/json", "text/html", "application/octet-stream", ""))
    )


def _list_packed(stage: Stage) -> None:
    bomb = gzip.compress(bytes(stage.random.choice((1 << 20, 256 << 20))), 1)
    if nested := stage.random.random() < 0.5:
        bomb = gzip.compress(bomb)
    packing = stage.random.choice(
        ("gzip", "gzip, gzip", "deflate", "br", "zstd", "x", "gzip" + ", gzip" * nested)
    )
    stage.hub.lie = Lie(bomb, headers={"Content-Encoding": packing})


def _list_sent_on(stage: Stage) -> None:
    to = stage.random.choice(
        (stage.elsewhere.endpoint, f"http://localhost:{stage.hub.port}", stage.hub.endpoint)
    )
    if stage.random.random() < 0.5:
        stage.hub.lie = Lie(
            status=stage.random.choice((301, 302, 303, 307, 308)), headers={"Location": f"{to}/api/models"}
        )
    else:
        stage.hub.lie = Lie(
            b"[]", headers={"Link": f'<{to}/api/models?page=2>; rel="next"', "Set-Cookie": "a=b"}
        )


def _list_refused(stage: Stage) -> None:
    stage.hub.lie = Lie(
        json.dumps({"error": f"{_ESCAPE}{TOKEN}"}).encode(),
        status=stage.random.choice((400, 401, 403, 404, 429, 500, 503, 599)),
        headers={
            "X-Error-Code": stage.random.choice(("GatedRepo", "RepoNotFound", "\x1b[2J")),
            "Retry-After": "-5",
            "X-Error-Message": f"{_ESCAPE}{TOKEN}",
        },
    )


def _list_raw(stage: Stage) -> None:
    """The list breaks the protocol, is slow, or has no end."""
    if stage.random.random() < 0.2:
        stage.hub.lie = Lie(endless=True)
        return
    head = stage.random.choice(
        (
            "garbage\r\n\r\n",
            "",
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n[",
            "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 20_000 + "\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        )
    )
    _answered_raw(stage, "/api/", "GET", head, b"", slow=stage.random.random() < 0.3)


OF_LISTS = (
    *(
        _list_document,
        _list_names,
        _list_length,
        _list_text,
        _list_packed,
        _list_sent_on,
        _list_refused,
        _list_raw,
    ),
)
LIES: tuple[Told, ...] = (
    *(_version, _commit, _size, _changes, _sent_on, _in_pieces, _refusal, _content, _storage, _metadata),
    *OF_LISTS,
    *(_content, _storage, _sent_on, _list_document),
)


def _answered_raw(stage: Stage, part: str, method: str, head: str, body: bytes, *, slow: bool) -> None:
    """Have requests for an address with this part answered by these bytes, or by one each half second."""
    raw = head.encode("latin-1") + body
    ended = time.monotonic() + 30

    def instead(handler: BaseHTTPRequestHandler) -> bool:
        if part not in handler.path or handler.command != method:
            return False
        handler.close_connection = True
        with contextlib.suppress(OSError):
            if not slow:
                handler.wfile.write(raw)
                return True
            for byte in raw or b"HTTP":
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.5)
                if time.monotonic() > ended:
                    break
        return True

    stage.hub.instead = instead


def _change_somewhere(document: Any, rng: random.Random) -> None:
    """Put a value of another kind into a list or an object, or take one out."""
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = rng.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        place[key] = rng.choice(
            (
                None,
                True,
                -1,
                0.5,
                10**30,
                "",
                "x" * 10_000,
                _ESCAPE,
                "\ud800",
                "../../x",
                [],
                {},
                [[]],
                TOKEN,
                hashlib.sha256(b"").hexdigest(),
                float("nan"),
            )
        )
        return
