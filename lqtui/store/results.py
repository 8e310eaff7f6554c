"""Measured results, kept so that a question is asked of the engine only once."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from lqtui.store.database import Database, digest_of_row
from lqtui.store.results_format import COLUMNS, MIGRATIONS, WHOLE

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
        try:
            status = path.stat()  # first, because links that go in a circle are an OSError here
        except ValueError:  # a zero byte
            raise OSError(errno.EINVAL, "no file can have such a name", str(path)) from None
        path = path.resolve()
        # SQLite holds neither names that are not Unicode nor numbers past 63 bits, and a disk may have both.
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        modified = max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))
        return cls(name, status.st_size, modified, status.st_ino & (2**63 - 1))


class ResultStore:
    """Everything measured, in one SQLite file; safe from several threads and processes at once.

    A row that is not as it was written is not there.

    Every method raises StoreError, with a sentence, when the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, MIGRATIONS)
        self._damaged_chunks = 0

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

    def take_damaged(self) -> int:
        """Return how many chunks were found damaged, and so will be measured again; each is told once."""
        found, self._damaged_chunks = self._damaged_chunks, 0
        return found

    def put_chunk(self, key: ScoresKey, number: int, scores: ChunkScores) -> None:
        """Save the scores of one chunk, in place of earlier ones; without a KLD an earlier one stays."""
        import numpy as np

        kld = None if scores.kld is None else scores.kld.astype("<f4").tobytes()
        same_top = None if scores.same_top is None else np.packbits(scores.same_top).tobytes()
        earlier = " AND ".join(f"{name} = ?{i}" for i, name in enumerate(COLUMNS["chunks"][:6], start=1))
        earlier = f"FROM chunks WHERE {earlier} AND {WHOLE['chunks']}"
        self._put(
            "chunks",
            *msgspec.structs.astuple(key),
            number,
            float(scores.seconds),
            utc_now(),
            scores.nll.astype("<f8").tobytes(),
            kld,
            same_top,
            kld=f"ifnull(?10, (SELECT kld {earlier}))",
            same_top=f"ifnull(?11, (SELECT same_top {earlier}))",
        )

    def get_chunks(self, key: ScoresKey, most: int) -> list[ChunkScores]:
        """Return the scores of the first chunks, `most` of them at most, as far as none is lost."""
        rows = self._database.rows(
            f"SELECT chunk, {WHOLE['chunks']}, nll, kld, same_top, seconds FROM chunks "
            "WHERE model_digest = ? AND tensors_digest = ? AND corpus_digest = ? AND n_ctx = ? "
            "AND engine = ? AND chunk < ? ORDER BY chunk",
            *msgspec.structs.astuple(key),
            most,
        )
        chunks: list[ChunkScores] = []
        for i, (number, is_whole, *row) in enumerate(rows):
            if number != i:
                break
            chunk = _chunk(*row) if is_whole else None
            if chunk is None or (chunks and chunk.nll.size != chunks[0].nll.size):
                self._damaged_chunks += 1
                break
            chunks.append(chunk)
        return chunks

    def get_text_chunks(self, key: TextKey) -> int | None:
        """Return how many chunks a text fills, or None where that is not known."""
        rows = self._database.rows(
            "SELECT chunks FROM texts WHERE model_digest = ? AND corpus_digest = ? AND n_ctx = ? "
            f"AND engine = ? AND {WHOLE['texts']}",
            *msgspec.structs.astuple(key),
        )
        chunks = rows[0][0] if rows else None
        return chunks if isinstance(chunks, int) and chunks > 0 else None

    def put_text_chunks(self, key: TextKey, chunks: int) -> None:
        """Save how many chunks a text fills."""
        self._put("texts", *msgspec.structs.astuple(key), chunks)

    def get_throughput(self, key: ThroughputKey) -> Throughput | None:
        """Return the speed asked for by `key`, or None where it was never measured."""
        rows = self._database.rows(
            "SELECT mean, sd, samples, created FROM throughputs WHERE model_digest = ? "
            "AND tensors_digest = ? AND engine = ? AND n_threads = ? AND n_prompt = ? AND n_gen = ? "
            f"AND repetitions = ? AND {WHOLE['throughputs']}",
            *msgspec.structs.astuple(key),
        )
        return _throughput(key, *rows[0]) if rows else None

    def put_throughput(self, throughput: Throughput) -> None:
        """Save a speed, in place of an earlier one for the same question."""
        self._put(
            "throughputs",
            *msgspec.structs.astuple(throughput.key),
            float(throughput.mean),
            float(throughput.sd),
            msgspec.json.encode(throughput.samples).decode(),
            throughput.created,
        )

    def put_name(self, name: RecipeName) -> None:
        """Remember that a recipe was known by this name, with the text that last stood for it."""
        self._put("names", *map(_storable, msgspec.structs.astuple(name)))

    def names_for(self, model_digest: str) -> list[RecipeName]:
        """Return the names of a model's recipes, the oldest first; a recipe may have several."""
        rows = self._database.rows(
            f"SELECT {', '.join(COLUMNS['names'])} FROM names WHERE model_digest = ? AND {WHOLE['names']} "
            "ORDER BY created, rowid",
            model_digest,
        )
        return [RecipeName(*row) for row in rows if all(isinstance(value, str) for value in row)]

    def get_model_digest(self, identity: FileIdentity) -> str | None:
        """Return the SHA-256 of a file that has not changed since it was hashed, else None."""
        rows = self._database.rows(
            "SELECT sha256 FROM model_digest_cache "
            f"WHERE path = ? AND size = ? AND mtime_ns = ? AND inode = ? AND {WHOLE['model_digest_cache']}",
            *msgspec.structs.astuple(identity),
        )
        sha256 = rows[0][0] if rows else None
        return sha256 if isinstance(sha256, str) else None

    def put_model_digest(self, identity: FileIdentity, sha256: str) -> None:
        """Remember the SHA-256 of a file."""
        self._put("model_digest_cache", *msgspec.structs.astuple(identity), sha256)

    def _put(self, table: str, *values: object, **instead: str) -> None:
        """Save a row with its digest, in place of one with the same key; `instead` says SQL for columns."""
        columns = COLUMNS[table]
        sources = (f"{instead.get(name, f'?{i}')} AS {name}" for i, name in enumerate(columns, start=1))
        self._database.write(
            f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}, digest) "
            f"SELECT *, {digest_of_row(columns)} FROM (SELECT {', '.join(sources)})",
            *values,
        )


def _storable(text: str) -> str:
    """A text as SQLite can hold it: file names, after which recipes are called, need not be Unicode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _chunk(nll: object, kld: object, same_top: object, seconds: object) -> ChunkScores | None:
    """A chunk's scores from its row; None where they cannot be what was measured."""
    import numpy as np

    if not isinstance(nll, bytes) or not isinstance(seconds, float):
        return None
    n = len(nll) // 8
    for blob, size in ((nll, 8 * n), (kld, 4 * n), (same_top, -(-n // 8))):
        if blob is not None and (not isinstance(blob, bytes) or len(blob) != size):
            return None
    return ChunkScores(
        np.frombuffer(nll, "<f8").astype(np.float64),
        np.frombuffer(kld, "<f4").astype(np.float32) if isinstance(kld, bytes) else None,
        np.unpackbits(np.frombuffer(same_top, np.uint8), count=n).astype(np.bool_)
        if isinstance(same_top, bytes)
        else None,
        seconds,
    )


def _throughput(
    key: ThroughputKey, mean: object, sd: object, samples: object, created: object
) -> Throughput | None:
    """A speed from its row; None where it cannot be what was measured."""
    try:
        values = msgspec.json.decode(str(samples), type=tuple[float, ...])
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(mean, float) or not isinstance(sd, float) or not isinstance(created, str):
        return None
    return Throughput(key=key, mean=mean, sd=sd, samples=values, created=created)
