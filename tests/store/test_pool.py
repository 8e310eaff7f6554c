"""The pool keeps each tensor once per type, for one job at a time, whatever the tensors are called."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lqtui.store.errors import InUseError, StoreError
from lqtui.store.pool import SCRATCH_PREFIX, Pool, PoolEntry, safe_name

SMOL, QWEN = "a1" * 32, "b2" * 32
ENGINE = "llama.cpp b9999 (abc1234) CPU"


def fill(pool: Pool, digest: str, size: int, *, used: datetime | None = None, label: str = "") -> PoolEntry:
    """Put one tensor of `size` bytes into the pool."""
    entry = pool.entry(digest, ENGINE, label)
    with entry.lock():
        path = entry.path("Q4_0", "blk.0.attn_v.weight")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * size)
    if used is not None:
        os.utime(entry.directory / "entry.json", (used.timestamp(), used.timestamp()))
    return entry


# Names


def test_a_tensor_has_one_file_per_type_under_its_own_name(tmp_path: Path) -> None:
    entry = Pool(tmp_path).entry(SMOL, ENGINE)
    path = entry.path("Q4_K", "blk.0.ffn_down.weight")
    assert path.relative_to(entry.directory) == Path("q4_k", "blk.0.ffn_down.weight.gguf")
    assert entry.path("q4_k", "blk.0.ffn_down.weight") == path
    assert entry.path("Q8_0", "blk.0.ffn_down.weight") != path


def test_models_and_engines_do_not_share(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    entries = [pool.entry(SMOL, ENGINE), pool.entry(QWEN, ENGINE), pool.entry(SMOL, ENGINE + " CUDA")]
    assert len({entry.directory for entry in entries}) == 3


@given(st.text())
@example("../../etc/passwd")
@example("..")
@example("")
@example("con")
@example("nul.weight")
@example("trailing.")
@example("x" * 5000)
@example("\udcff")
def test_no_name_leaves_its_folder_or_upsets_a_file_system(name: str) -> None:
    safe = safe_name(name)
    assert Path("pool", safe).parent == Path("pool")
    assert safe not in {".", ".."} and not safe.startswith(".") and not safe.endswith(".")
    assert safe.isascii() and 0 < len(safe) <= 160
    assert not set(safe) & set('/\\:*?"<>| ')
    assert safe.split(".")[0] not in {"con", "nul", "aux", "prn"}


@given(st.lists(st.text(), unique=True, min_size=2))
@example(["blk.0", "Blk.0"])
@example(["x" * 500, "x" * 501])
@example(["a/b", "a%2fb"])
def test_different_names_stay_different_even_where_case_is_ignored(names: list[str]) -> None:
    assert len({safe_name(name).casefold() for name in names}) == len(names)


# Locks


def test_a_second_job_waits_and_is_told_so(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    told = threading.Event()
    order: list[str] = []

    def second() -> None:
        with pool.entry(SMOL, ENGINE).lock(on_wait=told.set):
            order.append("second")

    with pool.entry(SMOL, ENGINE).lock():
        thread = threading.Thread(target=second)
        thread.start()
        assert told.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_wait_can_end_in_a_sentence_that_names_the_holder(tmp_path: Path) -> None:
    entry = Pool(tmp_path).entry(SMOL, ENGINE, "SmolLM2")
    expected = rf"Another lqtui \(process {os.getpid()}\) is using the quantized tensors of SmolLM2"
    with entry.lock(), pytest.raises(InUseError, match=expected), entry.lock(timeout=0):
        pass


def test_other_models_are_not_held_up(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    with pool.entry(SMOL, ENGINE).lock(), pool.entry(QWEN, ENGINE).lock(timeout=0):
        pass


def test_a_killed_job_frees_its_lock_and_its_half_written_file_goes(tmp_path: Path) -> None:
    holder = f"""
import sys, time
from pathlib import Path
from lqtui.store.pool import Pool, atomic_write
entry = Pool(Path({str(tmp_path)!r})).entry({SMOL!r}, {ENGINE!r})
with entry.lock():
    target = entry.path("Q4_0", "blk.0.attn_v.weight")
    target.parent.mkdir(parents=True)
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"half")
        print("writing", flush=True)
        time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "writing\n"
        entry = Pool(tmp_path).entry(SMOL, ENGINE)
        with pytest.raises(InUseError), entry.lock(timeout=0):
            pass
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    with entry.lock(timeout=5):
        assert [path.name for path in entry.directory.rglob("*") if path.is_file()] == ["entry.json"]


def test_folders_that_only_a_killed_job_had_a_use_for_go_with_the_next_one(tmp_path: Path) -> None:
    entry = fill(Pool(tmp_path), SMOL, 10)
    left = entry.directory / f"{SCRATCH_PREFIX}abc" / "0"
    left.mkdir(parents=True)
    (left / ".3.part").touch()
    with entry.lock():
        assert not left.parent.exists()
    assert entry.path("Q4_0", "blk.0.attn_v.weight").exists()


def _count_up(root: Path, rounds: int) -> None:
    entry = Pool(root).entry(SMOL, ENGINE)
    for _ in range(rounds):
        with entry.lock():
            path = entry.directory / "count"
            path.write_text(str(int(path.read_text()) + 1 if path.exists() else 1))


def test_two_processes_never_hold_an_entry_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count_up, args=(tmp_path, 20)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert (Pool(tmp_path).entry(SMOL, ENGINE).directory / "count").read_text() == "40"


# Listing and pruning


def test_an_empty_or_missing_pool_holds_nothing(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "not" / "there")
    assert pool.models() == []
    assert pool.size() == 0
    assert pool.prune(keep_bytes=0).removed == ()


def test_the_listing_tells_model_engine_bytes_and_last_use(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    long_ago = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    fill(pool, SMOL, 1000, used=long_ago, label="SmolLM2-135M-Instruct-F16.gguf")
    fill(pool, QWEN, 5000)
    newest, oldest = pool.models()
    assert (newest.model_digest, newest.label) == (QWEN, "")
    assert (oldest.model_digest, oldest.engine, oldest.label) == (
        SMOL,
        ENGINE,
        "SmolLM2-135M-Instruct-F16.gguf",
    )
    assert oldest.last_used == long_ago
    assert 1000 <= oldest.bytes < 1500
    assert pool.size() == newest.bytes + oldest.bytes


def test_use_makes_an_entry_the_newest_and_keeps_its_label(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    fill(pool, SMOL, 10, used=datetime(2026, 1, 1, tzinfo=UTC), label="SmolLM2")
    fill(pool, QWEN, 10, used=datetime(2026, 2, 1, tzinfo=UTC))
    with pool.entry(SMOL, ENGINE).lock():
        pass
    assert [model.label for model in pool.models()] == ["SmolLM2", ""]


def test_prune_to_a_size_removes_the_least_recently_used(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    for month, digest in enumerate((QWEN, SMOL, "c3" * 32), start=1):
        fill(pool, digest, 10_000, used=datetime(2026, month, 1, tzinfo=UTC))
    pruned = pool.prune(keep_bytes=25_000)
    assert [model.model_digest for model in pruned.removed] == [QWEN]
    assert pruned.bytes >= 10_000
    assert pool.size() <= 25_000
    assert not (tmp_path / QWEN).exists()


def test_prune_by_age_and_by_model(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    now = datetime.now(UTC)
    fill(pool, SMOL, 10, used=now - timedelta(days=40), label="SmolLM2")
    fill(pool, QWEN, 10, used=now - timedelta(days=2), label="Qwen2")
    assert pool.prune(older_than=timedelta(days=30), model="Qwen2").removed == ()
    assert [model.label for model in pool.prune(older_than=timedelta(days=30)).removed] == ["SmolLM2"]
    assert [model.label for model in pool.prune(model=QWEN[:8]).removed] == ["Qwen2"]
    assert pool.models() == []


def test_prune_leaves_what_a_running_job_holds(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    entry = fill(pool, SMOL, 10)
    fill(pool, QWEN, 10)
    with entry.lock():
        pruned = pool.prune(keep_bytes=0)
        assert [model.model_digest for model in pruned.in_use] == [SMOL]
        assert [model.model_digest for model in pruned.removed] == [QWEN]
        assert entry.path("Q4_0", "blk.0.attn_v.weight").exists()


def test_prune_without_a_rule_is_refused(tmp_path: Path) -> None:
    fill(Pool(tmp_path), SMOL, 10)
    with pytest.raises(ValueError, match="prune needs"):
        Pool(tmp_path).prune()
    assert Pool(tmp_path).prune(model="").removed == ()


def test_an_entry_without_its_description_is_still_listed_and_pruned(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    entry = fill(pool, SMOL, 10)
    (entry.directory / "entry.json").write_text("{ damaged")
    assert [model.model_digest for model in pool.models()] == [SMOL]
    assert len(pool.prune(keep_bytes=0).removed) == 1


@pytest.mark.parametrize("part", ["model", "engine"])
def test_a_link_out_of_the_pool_is_neither_written_through_nor_pruned(part: str, tmp_path: Path) -> None:
    pool, elsewhere = Pool(tmp_path / "pool"), tmp_path / "elsewhere"
    entry = pool.entry(SMOL, ENGINE)
    link = entry.directory if part == "engine" else entry.directory.parent
    kept = elsewhere / (entry.directory.relative_to(link)) / ".x.gguf.1-0.part"
    kept.parent.mkdir(parents=True)
    kept.write_text("somebody's own")
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    with pytest.raises(StoreError, match="is a link to elsewhere"), entry.lock():
        pass
    assert pool.models() == [] and pool.prune(keep_bytes=0).removed == ()
    assert kept.read_text() == "somebody's own"


@pytest.mark.parametrize("about", [b"[" * 200_000, b"\xff\xfe", b" " * (1 << 20)])
def test_a_description_that_cannot_be_read_is_not_there(about: bytes, tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    (fill(pool, SMOL, 10).directory / "entry.json").write_bytes(about)
    assert [model.model_digest for model in pool.models()] == [SMOL]


# Keeping to a limit


def fill_type(pool: Pool, digest: str, tensor_type: str, size: int, used: float) -> Path:
    """Put one tensor at a type into the pool that was used last at some time; return its file."""
    entry = pool.entry(digest, ENGINE)
    with entry.lock():
        path = entry.path(tensor_type, "blk.0.attn_v.weight")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * size)
    for at in (path, path.parent):
        os.utime(at, (used, used))
    return path


def test_over_its_limit_the_pool_loses_what_was_not_used_for_longest_whichever_model_it_is_of(
    tmp_path: Path,
) -> None:
    pool = Pool(tmp_path)
    oldest = fill_type(pool, SMOL, "Q4_0", 10_000, used=1000)
    old = fill_type(pool, QWEN, "Q8_0", 10_000, used=2000)
    newer = fill_type(pool, SMOL, "Q8_0", 10_000, used=3000)
    newest = fill_type(pool, QWEN, "Q4_0", 10_000, used=4000)
    pool.entry(SMOL, ENGINE).note_use([oldest])  # by a job that wanted it again
    assert pool.keep_to(40_000) == 0
    assert pool.keep_to(25_000) == 20_000
    assert [path.exists() for path in (oldest, old, newer, newest)] == [True, False, False, True]
    assert pool.keep_to(0) == 20_000
    assert pool.models() == [] and not (tmp_path / SMOL).exists()


def test_what_a_job_uses_stays_even_over_the_limit_and_goes_when_the_job_has_ended(tmp_path: Path) -> None:
    pool = Pool(tmp_path)
    used = fill_type(pool, SMOL, "Q4_0", 10_000, used=1000)
    idle = fill_type(pool, QWEN, "Q4_0", 10_000, used=2000)
    entry = pool.entry(SMOL, ENGINE)
    with entry.in_use(), entry.in_use():  # two jobs, none of which writes
        assert pool.keep_to(5000) == 10_000
        assert used.exists() and not idle.exists()
        assert [model.model_digest for model in pool.prune(keep_bytes=0).in_use] == [SMOL]
        with entry.lock(timeout=0):  # a third may write
            pass
    assert pool.keep_to(5000) == 10_000
    assert not used.exists()


_USER = """
import random, sys, time
from pathlib import Path
from lqtui.store.pool import Pool, atomic_write
root, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance, pool = random.Random(seed), Pool(root)
for _ in range(rounds):
    entry = pool.entry(chance.choice(("a1" * 32, "b2" * 32)), "engine")
    with entry.in_use():
        with entry.lock():
            files = [entry.path(f"q{n}", f"t{m}") for n in chance.sample(range(6), 2) for m in range(3)]
            for file in files:
                if not file.exists():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    with atomic_write(file, durable=False) as temporary:
                        temporary.write_bytes(file.name.encode() * 100)
            entry.note_use(files)
        for _ in range(3):
            time.sleep(chance.uniform(0, 0.003))
            for file in files:
                assert file.read_bytes() == file.name.encode() * 100, file
    pool.keep_to(chance.choice((0, 2000, 5000)))
"""


def test_jobs_of_several_processes_never_lose_a_file_that_they_use_to_the_limit(tmp_path: Path) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _USER, str(tmp_path), str(seed), "60"], stderr=subprocess.PIPE, text=True
        )
        for seed in range(3)
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    Pool(tmp_path).keep_to(2000)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.gguf")) <= 2000


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 5000)), max_size=10),
    st.integers(0, 12_000),
    st.sets(st.integers(0, 2)),
)
@hypothesis_settings(max_examples=60)
def test_whatever_was_used_in_whatever_order_the_oldest_that_no_job_uses_go_until_the_rest_fits(
    uses: list[tuple[int, int, int]], limit: int, busy: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as jobs:
        pool, digests = Pool(Path(folder)), ["a1" * 32, "b2" * 32, "c3" * 32]
        there: dict[Path, tuple[int, int]] = {}  # the oldest use first
        for turn, (model, kind, size) in enumerate(uses):
            path = fill_type(pool, digests[model], f"q{kind}", size, used=1000.0 + turn)
            there.pop(path, None)
            there[path] = model, size
        for model in busy:
            jobs.enter_context(pool.entry(digests[model], ENGINE).in_use())
        total = sum(size for _, size in there.values())
        stays = {}
        for path, (model, size) in there.items():
            stays[path] = total <= limit or model in busy
            total -= 0 if stays[path] else size
        pool.keep_to(limit)
        assert {path: path.exists() for path in there} == stays
