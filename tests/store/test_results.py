"""A result once measured is found again, by any process, and a database that cannot be used says so."""

import math
import multiprocessing
import os
import sqlite3
import threading
from multiprocessing.synchronize import Barrier
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lqtui.store import database
from lqtui.store.errors import InUseError, StoreError
from lqtui.store.results import (
    MIGRATIONS,
    FileIdentity,
    Measurement,
    MeasurementKey,
    RecipeName,
    ResultStore,
    Throughput,
    ThroughputKey,
)

KEY = MeasurementKey(
    model_digest="a1" * 32,
    tensors_digest="b2" * 32,
    corpus_digest="c3" * 32,
    n_ctx=512,
    chunks=5,
    engine="llama.cpp b9999 CPU",
)
SPEED = ThroughputKey(
    model_digest="a1" * 32,
    tensors_digest="b2" * 32,
    engine="llama.cpp b9999 CPU",
    n_threads=2,
    n_prompt=512,
    n_gen=0,
    repetitions=3,
)


def measured(
    key: MeasurementKey = KEY, perplexity: float = 18.8351, created: str = "2026-01-01T00:00:00+00:00"
) -> Measurement:
    """Return an answer to `key`."""
    nll = np.linspace(0.1, 9.9, key.chunks * 255).reshape(key.chunks, 255)
    return Measurement(key, perplexity, 1.60542, nll, 3.9, 270_888_512, 16.01, created)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that is not there yet."""
    return tmp_path / "data" / "results.sqlite3"


# What was put is what is got


def test_a_measurement_is_found_again_by_the_next_run(path: Path) -> None:
    with ResultStore(path) as store:
        assert store.get_measurement(KEY) is None
        store.put_measurement(measured())
    with ResultStore(path) as store:
        found = store.get_measurement(KEY)
    assert found is not None
    assert (found.key, found.perplexity, found.perplexity_se) == (KEY, 18.8351, 1.60542)
    assert (found.seconds, found.file_bytes, found.bits_per_weight) == (3.9, 270_888_512, 16.01)
    assert found.created == "2026-01-01T00:00:00+00:00"
    assert found.token_nll.shape == (5, 255)


@given(
    nll=npst.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(0, 9))),
    perplexity=st.floats(),
)
def test_numbers_come_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, nll: np.ndarray, perplexity: float
) -> None:
    key = msgspec.structs.replace(KEY, chunks=nll.shape[0])
    with ResultStore(tmp_path_factory.mktemp("store") / "r.sqlite3") as store:
        store.put_measurement(Measurement(key, perplexity, math.nan, nll, 1.0, 1, 1.0))
        found = store.get_measurement(key)
    assert found is not None
    assert found.token_nll.dtype == np.float64
    assert found.token_nll.tobytes() == nll.tobytes()
    assert found.token_nll.shape == nll.shape
    assert found.perplexity == perplexity or (math.isnan(found.perplexity) and math.isnan(perplexity))
    assert math.isnan(found.perplexity_se)


@pytest.mark.parametrize(
    "other",
    [
        {"model_digest": "ff"},
        {"tensors_digest": "ff"},
        {"corpus_digest": "ff"},
        {"n_ctx": 1024},
        {"chunks": 6},
        {"engine": "llama.cpp b9999 CUDA"},
    ],
)
def test_another_question_is_another_answer(path: Path, other: dict[str, object]) -> None:
    with ResultStore(path) as store:
        store.put_measurement(measured())
        assert store.get_measurement(msgspec.structs.replace(KEY, **other)) is None


def test_measuring_again_replaces_the_answer(path: Path) -> None:
    with ResultStore(path) as store:
        store.put_measurement(measured(perplexity=1.0))
        store.put_measurement(measured(perplexity=2.0))
        assert [found.perplexity for found in store.measurements_for(KEY.model_digest)] == [2.0]


def test_a_models_measurements_are_listed_oldest_first(path: Path) -> None:
    late = measured(msgspec.structs.replace(KEY, tensors_digest="late"), created="2026-02-02T00:00:00+00:00")
    other_model = measured(msgspec.structs.replace(KEY, model_digest="other"))
    with ResultStore(path) as store:
        for measurement in (late, other_model, measured()):
            store.put_measurement(measurement)
        listed = store.measurements_for(KEY.model_digest)
    assert [found.key.tensors_digest for found in listed] == [KEY.tensors_digest, "late"]


@pytest.mark.parametrize("shape", [(4, 255), (1275,), (5, 255, 1)])
def test_token_nll_of_another_shape_is_refused(path: Path, shape: tuple[int, ...]) -> None:
    wrong = msgspec.structs.replace(measured(), token_nll=np.zeros(shape))
    with ResultStore(path) as store, pytest.raises(ValueError, match="5 chunks were measured"):
        store.put_measurement(wrong)


def test_a_speed_is_found_by_its_threads_and_lengths(path: Path) -> None:
    speed = Throughput(SPEED, mean=201.5, sd=1.25, samples=(200.0, 201.5, 203.0))
    with ResultStore(path) as store:
        store.put_throughput(speed)
        assert store.get_throughput(SPEED) == speed
        assert store.get_throughput(msgspec.structs.replace(SPEED, n_threads=4)) is None
        assert store.get_throughput(msgspec.structs.replace(SPEED, n_prompt=0, n_gen=128)) is None
        assert store.throughputs_for(SPEED.model_digest) == [speed]
        assert store.throughputs_for("other") == []


def test_a_recipe_may_have_several_names(path: Path) -> None:
    first = RecipeName(
        KEY.model_digest, KEY.tensors_digest, "first_4_layers_q8", "name = 'first'", "2026-01-01"
    )
    second = RecipeName(KEY.model_digest, KEY.tensors_digest, "mine", "name = 'mine'", "2026-01-02")
    with ResultStore(path) as store:
        for name in (second, first, first):
            store.put_name(name)
        assert store.names_for(KEY.model_digest) == [first, second]


def test_the_time_of_a_result_is_utc() -> None:
    assert Throughput(SPEED, 1.0, 0.0, ()).created.endswith("+00:00")


# The digest of a model's file


def test_an_unchanged_file_is_not_hashed_again(path: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    with ResultStore(path) as store:
        identity = FileIdentity.of(model)
        assert store.get_model_digest(identity) is None
        store.put_model_digest(identity, "d4" * 32)
        (tmp_path / "link.gguf").symlink_to(model)
        assert store.get_model_digest(FileIdentity.of(tmp_path / "link.gguf")) == "d4" * 32


def test_a_changed_or_replaced_file_is_hashed_again(path: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    with ResultStore(path) as store:
        store.put_model_digest(FileIdentity.of(model), "d4" * 32)
        status = model.stat()
        os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert store.get_model_digest(FileIdentity.of(model)) is None
        replacement = tmp_path / "new"
        replacement.write_bytes(b"gguf")
        os.utime(replacement, ns=(status.st_atime_ns, status.st_mtime_ns))
        replacement.replace(model)
        assert store.get_model_digest(FileIdentity.of(model)) is None


@pytest.mark.skipif(os.name != "posix", reason="file names are Unicode there")
def test_a_file_name_need_not_be_unicode(path: Path, tmp_path: Path) -> None:
    model = Path(os.fsdecode(os.fsencode(tmp_path) + b"/mod\xffel.gguf"))
    model.write_bytes(b"GGUF")
    with ResultStore(path) as store:
        store.put_model_digest(FileIdentity.of(model), "d4" * 32)
        assert store.get_model_digest(FileIdentity.of(model)) == "d4" * 32


# Several at once


def _measure_at_once(folder: Path, worker: int, start: Barrier) -> None:
    for number in range(10):
        start.wait(20)
        with ResultStore(folder / f"{number}.sqlite3") as store:
            store.put_measurement(measured(msgspec.structs.replace(KEY, tensors_digest=f"worker {worker}")))


def test_processes_that_open_a_new_database_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    processes = [
        context.Process(target=_measure_at_once, args=(tmp_path, worker, start)) for worker in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    for path in tmp_path.glob("*.sqlite3"):
        with ResultStore(path) as store:
            found = store.measurements_for(KEY.model_digest)
        assert {one.key.tensors_digest for one in found} == {"worker 0", "worker 1", "worker 2"}


def test_threads_share_one_store(path: Path) -> None:
    with ResultStore(path) as store:

        def write(worker: int) -> None:
            for number in range(20):
                key = msgspec.structs.replace(KEY, tensors_digest=f"{worker}-{number}")
                store.put_measurement(measured(key))

        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(store.measurements_for(KEY.model_digest)) == 80


def test_a_reader_sees_what_another_has_just_written(path: Path) -> None:
    with ResultStore(path) as writer, ResultStore(path) as reader:
        assert reader.get_measurement(KEY) is None
        writer.put_measurement(measured())
        assert reader.get_measurement(KEY) is not None


def test_a_database_that_another_program_holds_is_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    with ResultStore(path) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            InUseError, match=r"Another program has held the results database .*results\.sqlite3"
        ):
            store.put_measurement(measured())
        holder.execute("ROLLBACK")
        holder.close()
        store.put_measurement(measured())


# Databases that cannot be used


def test_a_file_that_is_no_database_is_named_and_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match=r"results\.sqlite3 is damaged .*Move it away.*does not delete it"):
        ResultStore(path)
    assert path.read_bytes() == b"this is not a database" * 100


def test_a_damaged_database_is_named_and_kept(path: Path) -> None:
    with ResultStore(path) as store:
        for number in range(50):
            store.put_measurement(measured(msgspec.structs.replace(KEY, tensors_digest=str(number))))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with (
        pytest.raises(StoreError, match=r"is damaged .*lqtui does not delete it"),
        ResultStore(path) as store,
    ):
        store.measurements_for(KEY.model_digest)
    assert path.exists()


def test_a_row_that_lqtui_did_not_write_is_damage(path: Path) -> None:
    with ResultStore(path) as store:
        store.put_measurement(measured())
        store.put_throughput(Throughput(SPEED, 1.0, 0.0, (1.0,)))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE measurements SET token_nll = x'00'")
    connection.execute("UPDATE throughputs SET samples = '{'")
    connection.commit()
    connection.close()
    with ResultStore(path) as store:
        with pytest.raises(StoreError, match=r"is damaged \(1 bytes for 5 x 255 tokens\)"):
            store.get_measurement(KEY)
        with pytest.raises(StoreError, match="is damaged"):
            store.get_throughput(SPEED)


def test_a_database_of_a_newer_lqtui_is_left_alone(path: Path) -> None:
    with ResultStore(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"written by a newer lqtui \(format 99; this one knows 1\)"):
        ResultStore(path)


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    with ResultStore(path) as store:
        store.put_measurement(measured())
    broken = (*MIGRATIONS, ("ALTER TABLE measurements ADD COLUMN kld REAL", "this is not SQL"))
    with pytest.raises(StoreError, match="cannot be used"):
        database.Database(path, broken)
    with ResultStore(path) as store:
        assert store.get_measurement(KEY) is not None


def test_a_migration_runs_once_and_keeps_what_was_measured(path: Path) -> None:
    with ResultStore(path) as store:
        store.put_name(RecipeName("model", "tensors", "mine", "", "2026-01-01"))
    newer = (*MIGRATIONS, ("ALTER TABLE names ADD COLUMN author TEXT NOT NULL DEFAULT ''",))
    for _ in range(2):
        migrated = database.Database(path, newer)
        assert migrated.rows("SELECT name, author FROM names") == [("mine", "")]
        migrated.close()


def test_a_folder_in_the_databases_place_is_a_sentence(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"results\.sqlite3 cannot be used"):
        ResultStore(path)


def test_a_full_database_is_a_sentence(path: Path) -> None:
    with ResultStore(path) as store:
        store._database.rows("PRAGMA max_page_count = 8")  # SQLite's own way to be full
        with pytest.raises(StoreError, match="The disk is full, so the result was not saved"):
            for number in range(50):
                store.put_measurement(measured(msgspec.structs.replace(KEY, tensors_digest=str(number))))
