"""Measured results, kept so that a question is asked of the engine only once."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from lqtui.store.database import Database

if TYPE_CHECKING:  # it takes a tenth of a second to load, and only measurements need it
    import numpy as np
    from numpy.typing import NDArray


def utc_now() -> str:
    """Return the time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class ScoresKey(msgspec.Struct, frozen=True):
    """What was scored, by what: a recipe of a model on a corpus."""

    model_digest: str
    """SHA-256 of the base model's file."""
    tensors_digest: str
    """Digest of the effective type of every tensor."""
    corpus_digest: str
    """SHA-256 of the evaluation text."""
    n_ctx: int
    """Tokens per chunk."""
    engine: str
    """The llama.cpp build and its backend."""


class TextKey(msgspec.Struct, frozen=True):
    """A text cut into chunks of a model's tokens."""

    model_digest: str
    """SHA-256 of the model's file, whose vocabulary is used."""
    corpus_digest: str
    """As in a ScoresKey."""
    n_ctx: int
    engine: str


class ChunkScores(NamedTuple):
    """What was measured of the n scored tokens of one chunk.

    KLD and same_top are None where the recipe was not compared with the base model.
    """

    nll: NDArray[np.float64]
    """Negative log-likelihood of each token in nats, shape (n,)."""
    kld: NDArray[np.float32] | None
    """KL divergence from the base in nats, shape (n,). Single precision rounds it by less than it is off."""
    same_top: NDArray[np.bool_] | None
    """Whether recipe and base found the same token the likeliest, shape (n,)."""
    seconds: float
    """The time it took."""


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
        status = path.stat()  # first, because links that go in a circle are an OSError here
        path = path.resolve()
        # SQLite holds neither names that are not Unicode nor numbers past 63 bits, and a disk may have both.
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        modified = max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))
        return cls(name, status.st_size, modified, status.st_ino & (2**63 - 1))


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

_FORMAT_2 = (
    # A row for each chunk, so that each can be kept as soon as it is scored.
    """
    CREATE TABLE chunks (
        model_digest TEXT NOT NULL,
        tensors_digest TEXT NOT NULL,
        corpus_digest TEXT NOT NULL,
        n_ctx INTEGER NOT NULL,
        engine TEXT NOT NULL,
        chunk INTEGER NOT NULL,
        seconds REAL NOT NULL,
        created TEXT NOT NULL,
        nll BLOB NOT NULL, -- little-endian float64, one for each scored token
        kld BLOB, -- little-endian float32; NULL where the recipe was not compared with the base model
        same_top BLOB, -- a bit for each token, the first one's the highest of the first byte
        PRIMARY KEY (model_digest, tensors_digest, corpus_digest, n_ctx, engine, chunk)
    )
    """,
    """
    INSERT OR IGNORE INTO chunks
    WITH RECURSIVE numbers(i) AS (
        SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < (SELECT max(chunks) FROM measurements)
    )
    SELECT model_digest, tensors_digest, corpus_digest, n_ctx, engine, i, seconds / chunks, created,
        substr(token_nll, i * scored * 8 + 1, scored * 8), NULL, NULL
    FROM measurements JOIN numbers ON i < chunks
    ORDER BY chunks DESC
    """,
    "DROP TABLE measurements",
)

_FORMAT_3 = (
    """
    CREATE TABLE texts (
        model_digest TEXT NOT NULL,
        corpus_digest TEXT NOT NULL,
        n_ctx INTEGER NOT NULL,
        engine TEXT NOT NULL,
        chunks INTEGER NOT NULL, -- as many as the text fills
        PRIMARY KEY (model_digest, corpus_digest, n_ctx, engine)
    )
    """,
)

MIGRATIONS = (_FORMAT_1, _FORMAT_2, _FORMAT_3)
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

    def settle(self) -> None:
        """Wait until all that was saved outlives a power cut, too, in a thread that may wait."""
        self._database.settle()

    def put_chunk(self, key: ScoresKey, number: int, scores: ChunkScores) -> None:
        """Save the scores of one chunk, in place of earlier ones; without a KLD an earlier one stays."""
        import numpy as np

        kld = None if scores.kld is None else scores.kld.astype("<f4").tobytes()
        same_top = None if scores.same_top is None else np.packbits(scores.same_top).tobytes()
        self._database.write(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "seconds = excluded.seconds, created = excluded.created, nll = excluded.nll, "
            "kld = ifnull(excluded.kld, kld), same_top = ifnull(excluded.same_top, same_top)",
            *msgspec.structs.astuple(key),
            number,
            scores.seconds,
            utc_now(),
            scores.nll.astype("<f8").tobytes(),
            kld,
            same_top,
        )

    def get_chunks(self, key: ScoresKey, most: int) -> list[ChunkScores]:
        """Return the scores of the first chunks, `most` of them at most, as far as none is missing."""
        rows = self._database.rows(
            "SELECT chunk, nll, kld, same_top, seconds FROM chunks WHERE model_digest = ? "
            "AND tensors_digest = ? AND corpus_digest = ? AND n_ctx = ? AND engine = ? AND chunk < ? "
            "ORDER BY chunk",
            *msgspec.structs.astuple(key),
            most,
        )
        chunks = [self._chunk(*row[1:]) for i, row in enumerate(rows) if row[0] == i]
        if len({chunk.nll.size for chunk in chunks}) > 1:
            raise self._database.damaged("chunks of different lengths")
        return chunks

    def get_text_chunks(self, key: TextKey) -> int | None:
        """Return how many chunks a text fills, or None where that is not known."""
        rows = self._database.rows(
            "SELECT chunks FROM texts WHERE model_digest = ? AND corpus_digest = ? AND n_ctx = ? "
            "AND engine = ?",
            *msgspec.structs.astuple(key),
        )
        return int(rows[0][0]) if rows else None

    def put_text_chunks(self, key: TextKey, chunks: int) -> None:
        """Save how many chunks a text fills."""
        self._database.write(
            "INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?, ?)", *msgspec.structs.astuple(key), chunks
        )

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

    def _chunk(self, nll: bytes, kld: bytes | None, same_top: bytes | None, seconds: float) -> ChunkScores:
        import numpy as np

        n = len(nll) // 8
        expected = ((nll, 8 * n), (kld, 4 * n), (same_top, -(-n // 8)))
        if any(blob is not None and len(blob) != size for blob, size in expected):
            raise self._database.damaged(f"the scores of {n} tokens have another size")
        return ChunkScores(
            np.frombuffer(nll, "<f8").astype(np.float64),
            None if kld is None else np.frombuffer(kld, "<f4").astype(np.float32),
            None
            if same_top is None
            else np.unpackbits(np.frombuffer(same_top, np.uint8), count=n).astype(np.bool_),
            seconds,
        )

    def _throughput(self, row: tuple[Any, ...]) -> Throughput:
        mean, sd, samples, created = row[7:]
        try:
            values = msgspec.json.decode(samples, type=tuple[float, ...])
        except msgspec.DecodeError as error:
            raise self._database.damaged(str(error)) from error
        return Throughput(key=ThroughputKey(*row[:7]), mean=mean, sd=sd, samples=values, created=created)
