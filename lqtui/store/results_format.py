"""The tables of measured results, and the statements that led from each format of them to the next."""

from __future__ import annotations

from lqtui.store.database import digest_of_row

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
        SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < (
            SELECT max(chunks) FROM measurements WHERE scored > 0 AND length(token_nll) = 8 * scored * chunks
        )
    )
    SELECT model_digest, tensors_digest, corpus_digest, n_ctx, engine, i, seconds / chunks, created,
        substr(token_nll, i * scored * 8 + 1, scored * 8), NULL, NULL
    FROM measurements JOIN numbers ON i < chunks AND scored > 0 AND length(token_nll) = 8 * scored * chunks
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

COLUMNS = {
    "chunks": (
        *("model_digest", "tensors_digest", "corpus_digest", "n_ctx", "engine", "chunk"),
        *("seconds", "created", "nll", "kld", "same_top"),
    ),
    "texts": ("model_digest", "corpus_digest", "n_ctx", "engine", "chunks"),
    "throughputs": (
        *("model_digest", "tensors_digest", "engine", "n_threads", "n_prompt", "n_gen", "repetitions"),
        *("mean", "sd", "samples", "created"),
    ),
    "names": ("model_digest", "tensors_digest", "name", "recipe_toml", "created"),
    "model_digest_cache": ("path", "size", "mtime_ns", "inode", "sha256"),
}
WHOLE = {table: f"digest IS {digest_of_row(columns)}" for table, columns in COLUMNS.items()}
"""Whether a row is as lqtui wrote it: SQLite itself notices neither a flipped bit nor another's hand."""

_FORMAT_4 = tuple(
    statement
    for table, columns in COLUMNS.items()
    for statement in (
        f"ALTER TABLE {table} ADD COLUMN digest BLOB",
        f"UPDATE {table} SET digest = {digest_of_row(columns)}",
    )
)

MIGRATIONS = (_FORMAT_1, _FORMAT_2, _FORMAT_3, _FORMAT_4)
"""For each format version from 1 on, the statements that lead to it; released ones are never edited."""
