"""Texts and files made hostile: each mutation is drawn from the random numbers that it is given alone."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

HOSTILE = (
    *(
        "\x1b[2J\x1b]0;owned\x07",
        "\0",
        "\u202egnp.exe",
        "\ufeff",
        "$(touch owned)",
        "`touch owned`",
        "'; touch owned; '",
    ),
    *(
        "../../../../etc/passwd",
        "/dev/zero",
        "~root/x",
        "[red]markup[/]",
        "{}",
        "%s%n",
        "-rf",
        "9" * 5000,
        "1" * 400,
    ),
    *(
        "[" * 20_000,
        "{" * 20_000,
        "a." * 20_000,
        '"a b".' * 5_000,
        "a={" * 5_000,
        "\\u0000",
        "\\ud800",
        "\r\n",
        "\x85",
    ),
    *(
        ".?" * 60,
        "(.|..)" * 40,
        ".{0,60}" * 9,
        "x*" * 30,
        "blk.0-99999999999999999999",
        "blk." + "9" * 5000,
        "1e999",
    ),
    *(
        "nan",
        "inf",
        "-1",
        "0x" + "f" * 5000,
        "null",
        "true",
        "[]",
        "{}",
        "2" * 19,
        "18446744073709551616",
        "é" * 999,
    ),
)
_WORDS = (
    "Q4_0",
    "Q8_0",
    "F16",
    "base",
    "tensors",
    "name",
    "version",
    "blk.0",
    "attn_v",
    "weight",
    "=",
    '"',
    "1",
    "0",
)


def hostile_text(text: str, random: random.Random) -> bytes:
    """A text with something in it that its readers do not expect."""
    raw = bytearray(text.encode("utf-8", "surrogateescape"))
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        raw = bytearray(random.choice(_OF_TEXT)(raw, random))
    return bytes(raw)


def damaged_bytes(raw: bytes, random: random.Random) -> bytes:
    """A binary file that is damaged, cut short, or another."""
    made = bytearray(raw)
    for _ in range(random.choice((1, 1, 2, 9))):
        made = bytearray(
            random.choice((_flipped, _flipped, _cut, _overwritten, _spliced, _emptied))(made, random)
        )
    return bytes(made)


def _flipped(raw: bytearray, random: random.Random) -> bytearray:
    if raw:
        raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    return raw


def _cut(raw: bytearray, random: random.Random) -> bytearray:
    return raw[: random.randrange(len(raw) + 1)]


def _overwritten(raw: bytearray, random: random.Random) -> bytearray:
    at, length = random.randrange(len(raw) + 1), random.choice((1, 8, 512, 4096))
    filling = random.choice((b"\0", b"\xff")) * length if random.random() < 0.5 else random.randbytes(length)
    raw[at : at + length] = filling
    return raw


def _spliced(raw: bytearray, random: random.Random) -> bytearray:
    a, b = sorted(random.randrange(len(raw) + 1) for _ in range(2))
    at = random.randrange(len(raw) + 1)
    return raw[:at] + raw[a:b] + raw[at:]


def _emptied(raw: bytearray, random: random.Random) -> bytearray:
    return raw if random.random() < 0.8 else bytearray()


def _inserted(raw: bytearray, random: random.Random) -> bytearray:
    at = random.randrange(len(raw) + 1)
    raw[at:at] = random.choice(HOSTILE).encode()
    return raw


def _in_quotes(raw: bytearray, random: random.Random) -> bytearray:
    """A value between quotes gives way to a hostile one."""
    parts = bytes(raw).split(b'"')
    if len(parts) > 2:
        parts[random.randrange(1, len(parts), 2)] = random.choice(HOSTILE).encode()
    return bytearray(b'"'.join(parts))


def _behind_equals(raw: bytearray, random: random.Random) -> bytearray:
    """A value behind `=` or `:` gives way to a hostile one."""
    mark = b"=" if b"=" in raw else b":"
    parts = bytes(raw).split(mark)
    at = random.randrange(len(parts))
    parts[at] = random.choice(HOSTILE).encode() + (b"\n" if random.random() < 0.5 else b"")
    return bytearray(mark.join(parts))


def _repeated(raw: bytearray, random: random.Random) -> bytearray:
    """A line again and again."""
    lines = bytes(raw).split(b"\n")
    at = random.randrange(len(lines))
    lines[at : at + 1] = [lines[at]] * random.choice((2, 100, 5_000))
    return bytearray(b"\n".join(lines)[: 2 << 20])


def _reordered(raw: bytearray, random: random.Random) -> bytearray:
    lines = bytes(raw).split(b"\n")
    random.shuffle(lines)
    return bytearray(b"\n".join(lines))


def _words(raw: bytearray, random: random.Random) -> bytearray:
    at = random.randrange(len(raw) + 1)
    raw[at:at] = " ".join(random.choices(_WORDS, k=random.choice((1, 5, 500)))).encode()
    return raw


_OF_TEXT: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    *(_flipped, _cut, _overwritten, _spliced, _inserted, _inserted, _in_quotes, _in_quotes, _in_quotes),
    *(_behind_equals, _behind_equals, _repeated, _reordered, _words),
)


def replaced_by_no_file(path: Path, random: random.Random) -> str:
    """Something else in the place of a file; returns what."""
    what = random.choice(
        ("pipe", "folder", "circle", "link to nothing", "link elsewhere", "large", "device", "gone")
    )
    path.unlink(missing_ok=True)
    match what:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "circle":
            path.symlink_to(path)
        case "link to nothing":
            path.symlink_to("nothing-there")
        case "link elsewhere":
            path.symlink_to("/etc/hostname")
        case "large":
            with path.open("wb") as file:
                file.truncate(100 << 20)
        case "device":
            path.symlink_to("/dev/zero")
    return what


def damaged_database(path: Path, random: random.Random) -> str:
    """Damage a results database, as a file or through SQL; returns how."""
    how = random.choice(
        ("bytes", "bytes", "log", "row", "row", "row", "tables", "version", "other", "no file")
    )
    log = path.with_name(f"{path.name}-wal")
    if how == "bytes":
        path.write_bytes(damaged_bytes(path.read_bytes(), random))
    elif how == "log":
        log.write_bytes(damaged_bytes(log.read_bytes() if log.exists() else random.randbytes(9000), random))
    elif how == "no file":
        how = replaced_by_no_file(path, random)
    elif how == "other":
        path.write_bytes(
            random.choice((b"", b"hello\n", b"\x89PNG\r\n", b"SQLite format 3\0", random.randbytes(8192)))
        )
    else:
        statement = random.choice(_SQL[how]).format(
            text=random.choice(HOSTILE).replace("'", "''").replace("\0", "")
        )
        connection = sqlite3.connect(path)
        try:
            connection.executescript(statement)
        except sqlite3.Error as error:
            how = f"{how} ({error})"
        connection.close()
        how = f"{how}: {statement[:90]}"
    return how


_TABLES = ("chunks", "texts", "throughputs", "names", "model_digest_cache")
_SQL = {
    "row": (
        *(
            f"UPDATE chunks SET {column} = '{{text}}'"
            for column in ("nll", "kld", "same_top", "seconds", "engine")
        ),
        *(f"UPDATE chunks SET {column} = zeroblob(8)" for column in ("nll", "kld", "same_top", "seconds")),
        *(
            f"UPDATE chunks SET {column} = randomblob(length({column}))"
            for column in ("nll", "kld", "same_top")
        ),
        *(f"UPDATE names SET {column} = '{{text}}'" for column in ("name", "recipe_toml", "created")),
        "UPDATE chunks SET chunk = chunk + 1",
        "UPDATE chunks SET chunk = -chunk - 1",
        "UPDATE chunks SET nll = nll || nll",
        "UPDATE chunks SET nll = CAST(nll AS TEXT)",
        "UPDATE texts SET chunks = -1; UPDATE texts SET chunks = 1e300",
        "UPDATE model_digest_cache SET sha256 = '{text}'",
        "UPDATE model_digest_cache SET sha256 = replace(sha256, 'a', 'b')",
        "UPDATE names SET name = CAST(x'fffe00ff' AS TEXT)",
    ),
    "tables": (
        *(f"DROP TABLE {table}" for table in _TABLES),
        *(f"DELETE FROM {table}" for table in _TABLES),
        *(f"ALTER TABLE {table} ADD COLUMN more TEXT NOT NULL DEFAULT ''" for table in _TABLES),
        *(f"ALTER TABLE {table} RENAME TO {table}_old" for table in _TABLES),
        "CREATE TRIGGER t AFTER INSERT ON chunks BEGIN DELETE FROM chunks; END",
        "CREATE TRIGGER t BEFORE INSERT ON chunks BEGIN SELECT raise(ABORT, '{text}'); END",
        "CREATE UNIQUE INDEX i ON chunks (model_digest)",
        "DROP TABLE names; CREATE VIEW names AS "
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) "
        "SELECT i AS model_digest FROM n",
    ),
    "version": tuple(f"PRAGMA user_version = {number}" for number in (-1, 0, 1, 2, 3, 5, 99, 2**31 - 1)),
}
