"""`lqtui cache`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from lqtui.cli import output
from lqtui.store.errors import StoreError
from lqtui.store.files import format_size
from lqtui.store.paths import Paths
from lqtui.store.pool import Pool, PoolModel, Pruned
from lqtui.system.disk import date_of
from lqtui.workbench.cache_limit import cache_limit
from lqtui.workbench.imatrices import KeptImatrix, all_kept_imatrices


def cache(prune: bool, keep: str | None, older_than: int | None, model: str | None, json: bool) -> None:
    """Show the pool and the importance matrices, or prune the pool."""
    if not prune and (keep, older_than, model) != (None, None, None):
        output.fail("--keep, --older-than and --model go with --prune")
    paths = Paths.from_environment()
    pool = Pool(paths.pool)
    try:
        freed = _pruned(pool, keep, older_than, model) if prune else None
        entries, matrices = pool.models(), all_kept_imatrices(paths)
    except StoreError as error:
        output.fail(str(error), 1)
    if json:
        document: dict[str, object] = {
            "directory": str(pool.root),
            "bytes": sum(entry.bytes for entry in entries),
            "limit_bytes": cache_limit(paths),
            "models": [_entry_document(entry) for entry in entries],
            "importance_matrices": [_matrix_document(matrix) for matrix in matrices],
        }
        if freed is not None:
            document |= {"freed_bytes": freed.bytes, "in_use": [entry.label for entry in freed.in_use]}
        output.print_json(document)
        return
    if freed is not None:
        print(f"freed {freed.bytes / output.MIB:.1f} MiB")
        for entry in freed.in_use:
            print(output.shown(f"kept {entry.label}: a running lqtui uses it"))
    _print_pool(pool, entries, cache_limit(paths))
    if matrices:
        _print_matrices(paths, matrices)


def _pruned(pool: Pool, keep: str | None, older_than: int | None, model: str | None) -> Pruned:
    keep_bytes = output.parse_size(keep) if keep else None
    if (keep, older_than, model) == (None, None, None):
        keep_bytes = 0
    age = timedelta(days=older_than) if older_than is not None else None
    return pool.prune(keep_bytes=keep_bytes, older_than=age, model=model)


def _print_pool(pool: Pool, entries: Sequence[PoolModel], limit: int) -> None:
    held = f"{sum(e.bytes for e in entries) / output.MIB:.1f} MiB"
    print(output.shown(f"{pool.root}: {held}, of which jobs leave at most {format_size(limit)}"))
    if entries:
        rows = [["model", "engine", "MiB", "last used"]]
        for entry in entries:
            name = entry.label or entry.model_digest[:12]
            size, used = f"{entry.bytes / output.MIB:.1f}", f"{entry.last_used:%Y-%m-%d %H:%M}"
            rows.append([name, entry.engine, size, used])
        output.print_table(rows, left=2)


def _print_matrices(paths: Paths, matrices: Sequence[KeptImatrix]) -> None:
    """Matrices may have taken hours, and `--prune` leaves them: to remove one is to remove its file."""
    total = sum(matrix.bytes for matrix in matrices) / output.MIB
    print(
        output.shown(f"\n{paths.cache / 'imatrices'}: {total:.1f} MiB of importance matrices, never pruned")
    )
    rows = [["matrix", "text", "chunks", "MiB", "computed"]]
    for matrix in matrices:
        name, of = str(matrix.path.relative_to(paths.cache / "imatrices")), f"{matrix.chunks}×{matrix.n_ctx}"
        size, made = f"{matrix.bytes / output.MIB:.2f}", f"{_time(matrix):%Y-%m-%d %H:%M}"
        rows.append([name, matrix.dataset, of, size, made])
    output.print_table(rows, left=2)


def _time(matrix: KeptImatrix) -> datetime:
    return date_of(matrix.path.stat().st_mtime)


def _entry_document(entry: PoolModel) -> dict[str, object]:
    return {
        "model": entry.label,
        "digest": entry.model_digest,
        "engine": entry.engine,
        "bytes": entry.bytes,
        "last_used": entry.last_used.isoformat(timespec="seconds"),
    }


def _matrix_document(matrix: KeptImatrix) -> dict[str, object]:
    return {
        "path": str(matrix.path),
        "text": matrix.dataset,
        "chunks": matrix.chunks,
        "n_ctx": matrix.n_ctx,
        "bytes": matrix.bytes,
        "computed": _time(matrix).isoformat(timespec="seconds"),
    }
