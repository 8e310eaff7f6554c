"""Measured results, kept so that a question is asked of the engine only once."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from lqtui.store.database import Database

if TYPE_CHECKING:  # it takes a tenth of a second to load, and only measurements need it
    import numpy as np
    from numpy.typing import NDArray


def utc_now() -> str:
    """Return the time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class MeasurementKey(msgspec.Struct, frozen=True):
    """The question that a perplexity answers."""

    model_digest: str
    """SHA-256 of the base model's file."""
    tensors_digest: str
    """Digest of the effective type of every tensor."""
    corpus_digest: str
    """SHA-256 of the evaluation text."""
    n_ctx: int
    """Tokens per chunk."""
    chunks: int
    engine: str
    """The llama.cpp build and its backend."""


class Measurement(msgspec.Struct, frozen=True, eq=False):
    """The quality of one recipe on one corpus."""

    key: MeasurementKey
    perplexity: float
    perplexity_se: float
    """Standard error, in units of perplexity."""
    token_nll: NDArray[np.float64]
    """Negative log-likelihood of each scored token in nats, shape chunks x scored tokens per chunk."""
    seconds: float
    file_bytes: int
    """Size of the recipe's GGUF."""
    bits_per_weight: float
    created: str = msgspec.field(default_factory=utc_now)
    """In UTC, ISO 8601."""


class ThroughputKey(msgspec.Struct, frozen=True):
    """The question that a speed answers."""

    model_digest: str
    tensors_digest: str
    engine: str
    n_threads: int
    n_prompt: int
    """Tokens of prompt: 512 for pp512, 0 for tg128."""
    n_gen: int
    """Tokens generated: 0 for pp512, 128 for tg128."""
    repetitions: int


class Throughput(msgspec.Struct, frozen=True):
    """The speed of one recipe on this machine, in tokens per second."""

    key: ThroughputKey
    mean: float
    sd: float
    samples: tuple[float, ...]
    """One value per repetition."""
    created: str = msgspec.field(default_factory=utc_now)
    """In UTC, ISO 8601."""


class RecipeName(msgspec.Struct, frozen=True):
    """A name under which a person, or a preset, knew a recipe."""

    model_digest: str
    tensors_digest: str
    name: str
    recipe_toml: str
    created: str = msgspec.field(default_factory=utc_now)
    """In UTC, ISO 8601."""


class FileIdentity(msgspec.Struct, frozen=True):
    """What tells an unchanged file from a changed one without reading it."""

    path: str
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the identity that the file has now; take it before reading the file.

        Raises:
            OSError: there is no such file.
        """
        path = path.resolve()
        status = path.stat()
        # SQLite holds neither names that are not Unicode nor numbers past 63 bits, and a disk may have both.
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        return cls(name, status.st_size, status.st_mtime_ns, status.st_ino & (2**63 - 1))


_FORMAT_1 = (
    """
    CREATE TABLE measurements (
        model_digest TEXT NOT NULL,
        tensors_digest TEXT NOT NULL,
        corpus_digest TEXT NOT NULL,
        n_ctx INTEGER NOT NULL,
        chunks INTEGER NOT NULL,
        engine TEXT NOT NULL,
        perplexity REAL, -- NULL is not-a-number: a recipe can break a model
        perplexity_se REAL,
        seconds REAL NOT NULL,
        file_bytes INTEGER NOT NULL,
        bits_per_weight REAL NOT NULL,
        created TEXT NOT NULL,
        scored INTEGER NOT NULL, -- tokens per chunk in token_nll
        token_nll BLOB NOT NULL, -- little-endian float64, chunk after chunk
        PRIMARY KEY (model_digest, tensors_digest, corpus_digest, n_ctx, chunks, engine)
    )
    """,
    """
    CREATE TABLE throughputs (
        model_digest TEXT NOT NULL,
        tensors_digest TEXT NOT NULL,
        engine TEXT NOT NULL,
        n_threads INTEGER NOT NULL,
        n_prompt INTEGER NOT NULL,
        n_gen INTEGER NOT NULL,
        repetitions INTEGER NOT NULL,
        mean REAL NOT NULL,
        sd REAL NOT NULL,
        samples TEXT NOT NULL, -- a JSON array
        created TEXT NOT NULL,
        PRIMARY KEY (model_digest, tensors_digest, engine, n_threads, n_prompt, n_gen, repetitions)
    )
    """,
    """
    CREATE TABLE names (
        model_digest TEXT NOT NULL,
        tensors_digest TEXT NOT NULL,
        name TEXT NOT NULL,
        recipe_toml TEXT NOT NULL,
        created TEXT NOT NULL,
        PRIMARY KEY (model_digest, tensors_digest, name)
    )
    """,
    """
    CREATE TABLE model_digest_cache (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        sha256 TEXT NOT NULL
    )
    """,
)

MIGRATIONS = (_FORMAT_1,)
"""For each format version from 1 on, the statements that lead to it; released ones are never edited."""


class ResultStore:
    """Everything measured, in one SQLite file; safe from several threads and processes at once.

    Every method raises StoreError, with a sentence, when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, MIGRATIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def get_measurement(self, key: MeasurementKey) -> Measurement | None:
        """Return the answer to `key`, or None where it was never measured."""
        rows = self._database.rows(
            "SELECT * FROM measurements WHERE model_digest = ? AND tensors_digest = ? AND corpus_digest = ? "
            "AND n_ctx = ? AND chunks = ? AND engine = ?",
            *msgspec.structs.astuple(key),
        )
        return self._measurement(rows[0]) if rows else None

    def get_longest_measurement(self, key: MeasurementKey) -> Measurement | None:
        """Return the answer to `key` over the most chunks there are, whatever number `key` names, or None."""
        rows = self._database.rows(
            "SELECT * FROM measurements WHERE model_digest = ? AND tensors_digest = ? AND corpus_digest = ? "
            "AND n_ctx = ? AND engine = ? ORDER BY chunks DESC LIMIT 1",
            key.model_digest,
            key.tensors_digest,
            key.corpus_digest,
            key.n_ctx,
            key.engine,
        )
        return self._measurement(rows[0]) if rows else None

    def put_measurement(self, measurement: Measurement) -> None:
        """Save an answer, in place of an earlier one to the same question.

        Raises:
            ValueError: `token_nll` is not of shape chunks x scored.
        """
        import numpy as np

        key, nll = measurement.key, np.ascontiguousarray(measurement.token_nll, dtype="<f8")
        if nll.ndim != 2 or nll.shape[0] != key.chunks:
            raise ValueError(f"token_nll has shape {nll.shape}, but {key.chunks} chunks were measured")
        self._database.write(
            "INSERT OR REPLACE INTO measurements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *msgspec.structs.astuple(key),
            measurement.perplexity,
            measurement.perplexity_se,
            measurement.seconds,
            measurement.file_bytes,
            measurement.bits_per_weight,
            measurement.created,
            nll.shape[1],
            nll.tobytes(),
        )

    def measurements_for(self, model_digest: str) -> list[Measurement]:
        """Return everything measured of a model, the oldest first."""
        rows = self._database.rows(
            "SELECT * FROM measurements WHERE model_digest = ? ORDER BY created, rowid", model_digest
        )
        return [self._measurement(row) for row in rows]

    def get_throughput(self, key: ThroughputKey) -> Throughput | None:
        """Return the speed asked for by `key`, or None where it was never measured."""
        rows = self._database.rows(
            "SELECT * FROM throughputs WHERE model_digest = ? AND tensors_digest = ? AND engine = ? "
            "AND n_threads = ? AND n_prompt = ? AND n_gen = ? AND repetitions = ?",
            *msgspec.structs.astuple(key),
        )
        return self._throughput(rows[0]) if rows else None

    def put_throughput(self, throughput: Throughput) -> None:
        """Save a speed, in place of an earlier one for the same question."""
        self._database.write(
            "INSERT OR REPLACE INTO throughputs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *msgspec.structs.astuple(throughput.key),
            throughput.mean,
            throughput.sd,
            msgspec.json.encode(throughput.samples).decode(),
            throughput.created,
        )

    def throughputs_for(self, model_digest: str) -> list[Throughput]:
        """Return every speed measured of a model, the oldest first."""
        rows = self._database.rows(
            "SELECT * FROM throughputs WHERE model_digest = ? ORDER BY created, rowid", model_digest
        )
        return [self._throughput(row) for row in rows]

    def put_name(self, name: RecipeName) -> None:
        """Remember that a recipe was known by this name, with the text that last stood for it."""
        self._database.write(
            "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?)", *msgspec.structs.astuple(name)
        )

    def names_for(self, model_digest: str) -> list[RecipeName]:
        """Return the names of a model's recipes, the oldest first; a recipe may have several."""
        rows = self._database.rows(
            "SELECT * FROM names WHERE model_digest = ? ORDER BY created, rowid", model_digest
        )
        return [RecipeName(*row) for row in rows]

    def get_model_digest(self, identity: FileIdentity) -> str | None:
        """Return the SHA-256 of a file that has not changed since it was hashed, else None."""
        rows = self._database.rows(
            "SELECT sha256 FROM model_digest_cache "
            "WHERE path = ? AND size = ? AND mtime_ns = ? AND inode = ?",
            *msgspec.structs.astuple(identity),
        )
        return str(rows[0][0]) if rows else None

    def put_model_digest(self, identity: FileIdentity, sha256: str) -> None:
        """Remember the SHA-256 of a file."""
        self._database.write(
            "INSERT OR REPLACE INTO model_digest_cache VALUES (?, ?, ?, ?, ?)",
            *msgspec.structs.astuple(identity),
            sha256,
        )

    def _measurement(self, row: tuple[Any, ...]) -> Measurement:
        import numpy as np

        key = MeasurementKey(*row[:6])
        perplexity, perplexity_se, seconds, file_bytes, bits_per_weight, created, scored, blob = row[6:]
        if len(blob) != key.chunks * scored * 8:
            raise self._database.damaged(f"{len(blob)} bytes for {key.chunks} x {scored} tokens")
        return Measurement(
            key=key,
            perplexity=_number(perplexity),
            perplexity_se=_number(perplexity_se),
            token_nll=np.frombuffer(blob, dtype="<f8").astype(np.float64).reshape(key.chunks, scored),
            seconds=seconds,
            file_bytes=file_bytes,
            bits_per_weight=bits_per_weight,
            created=created,
        )

    def _throughput(self, row: tuple[Any, ...]) -> Throughput:
        mean, sd, samples, created = row[7:]
        try:
            values = msgspec.json.decode(samples, type=tuple[float, ...])
        except msgspec.DecodeError as error:
            raise self._database.damaged(str(error)) from error
        return Throughput(key=ThroughputKey(*row[:7]), mean=mean, sd=sd, samples=values, created=created)


def _number(value: float | None) -> float:
    """Return a stored number; SQLite keeps not-a-number as NULL."""
    return math.nan if value is None else value
