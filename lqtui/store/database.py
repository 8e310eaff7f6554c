"""The SQLite file below the results: opening, format versions, and errors as sentences."""

import contextlib
import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lqtui.store.errors import InUseError, StoreError
from lqtui.store.files import flush
from lqtui.store.paths import HOME_VARIABLE, make_directory

BUSY_SECONDS = 30.0
"""How long a process waits for another one's write."""

_DAMAGED = (
    "The results database {path} is damaged ({error}). "
    "Move it away and start again, or restore a copy of it; lqtui does not delete it."
)
_NOT_WRITABLE = (
    "The results database {path} cannot be used ({error}). "
    "Check the permissions of the file and its folder, or set {home} to another folder."
)
_FULL = "The disk is full, so the result was not saved in {path}. Make room and measure again."
_FOREIGN = (
    "The results database {path} was not made by lqtui, or was changed by another program. "
    "Move it away, or set {home} to another folder; lqtui does not write into it."
)
_OTHER = "The results database {path} cannot be used ({error})."

_SENTENCES = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_CANTOPEN: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_FULL: _FULL,
}


class Database:
    """One connection, shared by the threads of this process and safe beside other processes."""

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]]) -> None:
        """Open the file at `path`, made where missing, and bring its format up to date.

        Args:
            path: The database file.
            migrations: For each format version from 1 on, the statements that lead to it.

        Raises:
            StoreError: the file cannot be used, or was written by a newer lqtui.
        """
        self.path = path
        self._mutex = threading.RLock()
        make_directory(path.parent)
        with self._sentences():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with self._sentences():
                self._connection.create_function("row_digest", -1, _row_digest, deterministic=True)
                self._connection.text_factory = _text
                self._refuse_foreign(migrations)
                self._use_wal()
                self._connection.execute("PRAGMA synchronous = NORMAL")  # `settle` does the rest
                self._migrate(migrations)
                self._refuse_changed(migrations)
        except StoreError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection; nothing else may be called after."""
        with self._mutex:
            self._connection.close()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._mutex, self._sentences():
            return self._connection.execute(query, values).fetchall()

    def write(self, statement: str, *values: object) -> None:
        """Run one statement that changes rows, as a transaction of its own."""
        with self._mutex, self._sentences():
            self._connection.execute(statement, values)

    def settle(self) -> None:
        """Wait until all that was written outlives a power cut; what is not settled may be lost by one.

        It is for a thread of its own: while a disk is busy, it can take seconds.
        """
        with contextlib.suppress(OSError):  # no log: all of it is in the file itself
            flush(self.path.with_name(f"{self.path.name}-wal"))

    def damaged(self, detail: str) -> StoreError:
        """Return the error for a row that cannot be what lqtui wrote."""
        return StoreError(_DAMAGED.format(path=self.path, error=detail))

    def _refuse_foreign(self, migrations: Sequence[Sequence[str]]) -> None:
        """Leave another program's database alone: one without a version of ours that has tables already."""
        self._connection.execute("BEGIN")  # of one moment: another lqtui may just be making the tables
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        version = self._version()
        self._connection.execute("COMMIT")
        if (
            (version == 0 and tables)
            or version < 0
            or (version <= len(migrations) and version and not tables)
        ):
            raise self._foreign()

    def _refuse_changed(self, migrations: Sequence[Sequence[str]]) -> None:
        """Refuse other tables than lqtui makes, views in their place, and triggers."""
        made = sqlite3.connect(":memory:")
        made.create_function("row_digest", -1, _row_digest, deterministic=True)
        for statement in (statement for statements in migrations for statement in statements):
            made.execute(statement)
        query = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'view', 'trigger')"
        wanted, found = (set(of.execute(query).fetchall()) for of in (made, self._connection))
        made.close()
        if not wanted <= found or any(kind == "trigger" for kind, _, _ in found):
            raise self._foreign()

    def _foreign(self) -> StoreError:
        return StoreError(_FOREIGN.format(path=self.path, home=HOME_VARIABLE))

    def _use_wal(self) -> None:
        # SQLite ignores its busy timeout here, so processes that open a new file at once need this loop.
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if _primary(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _migrate(self, migrations: Sequence[Sequence[str]]) -> None:
        if self._version() == len(migrations):
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            version = self._version()  # another process may have migrated while this one waited
            if version > len(migrations):
                raise StoreError(
                    f"The results database {self.path} was written by a newer lqtui "
                    f"(format {version}; this one knows {len(migrations)}). "
                    f"Update lqtui, or set {HOME_VARIABLE} to another folder."
                )
            for statements in migrations[version:]:
                for statement in statements:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {len(migrations)}")
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _version(self) -> int:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # a mistake of the caller's, not of the file
        except sqlite3.DatabaseError as error:
            code = _primary(error)
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise InUseError(
                    f"Another program has held the results database {self.path} "
                    f"for {BUSY_SECONDS:.0f} seconds. Close it and try again."
                ) from error
            sentence = _SENTENCES.get(code, _OTHER)
            raise StoreError(sentence.format(path=self.path, error=error, home=HOME_VARIABLE)) from error


def digest_of_row(columns: Sequence[str]) -> str:
    """SQL for a digest of some columns, each with its type: a row with another one is damaged.

    Numbers with a fraction count with 15 digits.
    """
    return f"row_digest({', '.join(f'typeof({name}), CAST({name} AS BLOB)' for name in columns)})"


def _row_digest(*values: str | bytes | None) -> bytes:
    digest = hashlib.sha256()
    for value in values:
        raw = value.encode() if isinstance(value, str) else value or b""
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.digest()[:16]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _primary(error: sqlite3.Error) -> int:
    """Return the result code without its extension, or 0 where the module itself raised the error."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
