"""A result once measured is found again, by any process, and a database that cannot be used says so."""

import multiprocessing
import os
import sqlite3
import threading
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lqtui.store import database
from lqtui.store.errors import InUseError, StoreError
from lqtui.store.results import (
    ChunkScores,
    FileIdentity,
    RecipeName,
    ResultStore,
    ScoresKey,
    TextKey,
    Throughput,
    ThroughputKey,
)
from lqtui.store.results_format import MIGRATIONS

KEY = ScoresKey(
    model_digest="a1" * 32,
    tensors_digest="b2" * 32,
    corpus_digest="c3" * 32,
    n_ctx=512,
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


def scores(first: float = 0.1, seconds: float = 3.9) -> ChunkScores:
    """Scores of 255 tokens."""
    nll = np.linspace(first, 9.9, 255)
    return ChunkScores(nll, nll.astype(np.float32) / 8, nll > 5, seconds)


def same(a: ChunkScores, b: ChunkScores) -> bool:
    return repr(a) == repr(b) and all(
        x is y or x.tobytes() == y.tobytes() for x, y in zip(a[:3], b[:3], strict=True)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that is not there yet."""
    return tmp_path / "data" / "results.sqlite3"


# What was put is what is got


def test_chunks_are_found_again_by_the_next_run_in_their_order(path: Path) -> None:
    with ResultStore(path) as store:
        assert store.get_chunks(KEY, 9) == []
        store.put_chunk(KEY, 1, scores(0.2))
        store.put_chunk(KEY, 0, scores(0.1))
    with ResultStore(path) as store:
        found = store.get_chunks(KEY, 9)
        assert len(store.get_chunks(KEY, 1)) == 1
    assert len(found) == 2 and same(found[0], scores(0.1)) and same(found[1], scores(0.2))


def test_chunks_behind_one_that_is_missing_are_not_told(path: Path) -> None:
    with ResultStore(path) as store:
        for number in (0, 1, 3):
            store.put_chunk(KEY, number, scores())
        assert len(store.get_chunks(KEY, 9)) == 2


@given(
    nll=npst.arrays(np.float64, st.integers(0, 20)),
    compared=st.booleans(),
    data=st.data(),
)
def test_numbers_come_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, nll: np.ndarray, compared: bool, data: st.DataObject
) -> None:
    kld = data.draw(npst.arrays(np.float32, nll.size)) if compared else None
    same_top = data.draw(npst.arrays(np.bool_, nll.size)) if compared else None
    with ResultStore(tmp_path_factory.mktemp("store") / "r.sqlite3") as store:
        store.put_chunk(KEY, 0, ChunkScores(nll, kld, same_top, 1.5))
        (found,) = store.get_chunks(KEY, 1)
    assert same(found, ChunkScores(nll, kld, same_top, 1.5))


@pytest.mark.parametrize(
    "other",
    [
        {"model_digest": "ff"},
        {"tensors_digest": "ff"},
        {"corpus_digest": "ff"},
        {"n_ctx": 1024},
        {"engine": "llama.cpp b9999 CUDA"},
    ],
)
def test_another_question_is_another_answer(path: Path, other: dict[str, object]) -> None:
    with ResultStore(path) as store:
        store.put_chunk(KEY, 0, scores())
        assert store.get_chunks(msgspec.structs.replace(KEY, **other), 1) == []


def test_measuring_again_replaces_the_answer_but_without_a_kld_not_the_kld(path: Path) -> None:
    with ResultStore(path) as store:
        store.put_chunk(KEY, 0, scores(0.1))
        store.put_chunk(KEY, 0, scores(0.2))
        assert same(store.get_chunks(KEY, 1)[0], scores(0.2))
        store.put_chunk(KEY, 0, scores(0.3)._replace(kld=None, same_top=None))
        kept = scores(0.3)._replace(kld=scores(0.2).kld, same_top=scores(0.2).same_top)
        assert same(store.get_chunks(KEY, 1)[0], kept)


def test_a_speed_is_found_by_its_threads_and_lengths(path: Path) -> None:
    speed = Throughput(SPEED, mean=201.5, sd=1.25, samples=(200.0, 201.5, 203.0))
    with ResultStore(path) as store:
        store.put_throughput(speed)
        assert store.get_throughput(SPEED) == speed
        assert store.get_throughput(msgspec.structs.replace(SPEED, n_threads=4)) is None
        assert store.get_throughput(msgspec.structs.replace(SPEED, n_prompt=0, n_gen=128)) is None
        store.put_throughput(msgspec.structs.replace(speed, mean=99.0))
        again = store.get_throughput(SPEED)
        assert again is not None and again.mean == 99


def test_how_many_chunks_a_text_fills_is_found_by_whose_tokens_they_are(path: Path) -> None:
    key = TextKey(KEY.model_digest, KEY.corpus_digest, KEY.n_ctx, KEY.engine)
    with ResultStore(path) as store:
        assert store.get_text_chunks(key) is None
        store.put_text_chunks(key, 12)
        store.put_text_chunks(msgspec.structs.replace(key, n_ctx=1024), 6)
        for other in ({"model_digest": "ff"}, {"corpus_digest": "ff"}, {"engine": "other"}):
            assert store.get_text_chunks(msgspec.structs.replace(key, **other)) is None
    with ResultStore(path) as store:
        assert store.get_text_chunks(key) == 12


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
            store.put_chunk(KEY, worker, scores())


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
            assert len(store.get_chunks(KEY, 9)) == 3


def test_threads_share_one_store(path: Path) -> None:
    with ResultStore(path) as store:

        def write(worker: int) -> None:
            for number in range(20):
                store.put_chunk(KEY, 20 * worker + number, scores())

        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(store.get_chunks(KEY, 99)) == 80


def test_a_reader_sees_what_another_has_just_written(path: Path) -> None:
    with ResultStore(path) as writer, ResultStore(path) as reader:
        assert reader.get_chunks(KEY, 1) == []
        writer.put_chunk(KEY, 0, scores())
        assert reader.get_chunks(KEY, 1)


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
            store.put_chunk(KEY, 0, scores())
        holder.execute("ROLLBACK")
        holder.close()
        store.put_chunk(KEY, 0, scores())


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
            store.put_chunk(KEY, number, scores())
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with (
        pytest.raises(StoreError, match=r"is damaged .*lqtui does not delete it"),
        ResultStore(path) as store,
    ):
        store.get_chunks(KEY, 99)
    assert path.exists()


def test_a_row_that_lqtui_did_not_write_is_damage(path: Path) -> None:
    with ResultStore(path) as store:
        store.put_chunk(KEY, 0, scores())
        store.put_throughput(Throughput(SPEED, 1.0, 0.0, (1.0,)))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE chunks SET same_top = x'00'")
    connection.execute("UPDATE throughputs SET samples = '{'")
    connection.commit()
    connection.close()
    with ResultStore(path) as store:
        assert store.get_chunks(KEY, 1) == []
        assert [store.take_damaged(), store.take_damaged()] == [1, 0]
        assert store.get_throughput(SPEED) is None


@pytest.mark.parametrize("column", ["nll", "kld", "same_top"])
@pytest.mark.parametrize("at", [1, 20])
def test_one_flipped_bit_is_noticed_and_what_lies_before_it_stays(path: Path, column: str, at: int) -> None:
    with ResultStore(path) as store:
        for number in range(3):
            store.put_chunk(KEY, number, scores())
    connection = sqlite3.connect(path)
    (blob,) = connection.execute(f"SELECT {column} FROM chunks WHERE chunk = 1").fetchone()
    flipped = bytearray(blob)
    flipped[at] ^= 1
    connection.execute(f"UPDATE chunks SET {column} = ? WHERE chunk = 1", [bytes(flipped)])
    connection.commit()
    connection.close()
    with ResultStore(path) as store:
        assert len(store.get_chunks(KEY, 3)) == 1 and store.take_damaged() == 1
        store.put_chunk(
            KEY, 1, scores()._replace(kld=None, same_top=None)
        )  # takes nothing of the damaged one
        assert [chunk.kld is None for chunk in store.get_chunks(KEY, 3)] == [False, True, False]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE chunks SET nll = 'text'",
        "UPDATE chunks SET nll = CAST(nll AS TEXT)",
        "UPDATE chunks SET seconds = 'soon'",
        "UPDATE chunks SET engine = CAST(x'ff00fe' AS TEXT)",
        "UPDATE texts SET chunks = 9223372036854775807",
        "UPDATE texts SET chunks = 'many'",
        "UPDATE throughputs SET mean = mean * 2",
        "UPDATE throughputs SET samples = replace(hex(zeroblob(100000)), '00', '[')",
        "UPDATE names SET name = x'00ff'",
        "UPDATE names SET recipe_toml = recipe_toml || char(27) || '[2J'",
        "UPDATE names SET name = CAST(x'fffefd' AS TEXT)",
        "UPDATE model_digest_cache SET sha256 = replace(sha256, 'a', 'b')",
    ],
)
def test_what_another_hand_wrote_into_a_row_is_not_there(damage: str, path: Path) -> None:
    identity = FileIdentity("/model", 1, 2, 3)
    text = TextKey("model", "corpus", 512, "engine")
    with ResultStore(path) as store:
        store.put_chunk(KEY, 0, scores())
        store.put_text_chunks(text, 7)
        store.put_throughput(Throughput(SPEED, 1.0, 0.0, (1.0,)))
        store.put_name(RecipeName("model", "tensors", "mine", 'base = "Q4_0"'))
        store.put_model_digest(identity, "a" * 64)

    def known(store: ResultStore) -> list[object]:
        found = store.get_chunks(KEY, 1), store.get_text_chunks(text), store.get_throughput(SPEED)
        return [*found, store.names_for("model"), store.get_model_digest(identity)]

    with ResultStore(path) as store:
        assert all(known(store))
    connection = sqlite3.connect(path)
    assert connection.execute(damage).rowcount == 1
    connection.commit()
    connection.close()
    with ResultStore(path) as store:
        assert [bool(each) for each in known(store)].count(False) == 1


def test_a_recipe_may_be_called_after_a_file_whose_name_is_not_unicode(path: Path) -> None:
    with ResultStore(path) as store:
        store.put_name(RecipeName("model", "tensors", "mine\udcff", ""))
        assert [name.name for name in store.names_for("model")] == ["mine\\udcff"]


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE bookmarks (url TEXT)",
        "CREATE TABLE chunks (chunk INTEGER); PRAGMA user_version = 4",
        "PRAGMA user_version = 4",
        "CREATE TABLE t (a); PRAGMA user_version = -1",
        "CREATE VIEW chunks AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) "
        "SELECT i FROM n; PRAGMA user_version = 4",
    ],
)
def test_the_database_of_another_program_is_left_as_it_is(made: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(made)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"not made by lqtui"):
        ResultStore(path)
    assert path.read_bytes()[100:] == before[100:]  # the header says at most that it has a log


def test_a_trigger_that_somebody_put_into_the_database_never_runs(path: Path) -> None:
    with ResultStore(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("CREATE TRIGGER t AFTER INSERT ON names BEGIN DELETE FROM chunks; END")
    connection.close()
    with pytest.raises(StoreError, match="changed by another program"):
        ResultStore(path)


def test_a_measurement_of_the_first_format_that_claims_endless_chunks_ends(path: Path) -> None:
    older = database.Database(path, MIGRATIONS[:1])
    older.write(
        "INSERT INTO measurements "
        "VALUES ('m', 't', 'c', 512, ?, 'e', 9.5, 1.6, 1, 100, 8, '2026', 255, x'00')",
        1 << 60,
    )
    older.close()
    with ResultStore(path) as store:
        assert store.get_chunks(KEY, 9) == []


def test_a_database_of_a_newer_lqtui_is_left_alone(path: Path) -> None:
    with ResultStore(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"written by a newer lqtui \(format 99; this one knows 4\)"):
        ResultStore(path)


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    with ResultStore(path) as store:
        store.put_chunk(KEY, 0, scores())
    broken = (*MIGRATIONS, ("ALTER TABLE chunks ADD COLUMN more REAL", "this is not SQL"))
    with pytest.raises(StoreError, match="cannot be used"):
        database.Database(path, broken)
    with ResultStore(path) as store:
        assert store.get_chunks(KEY, 1)


def test_a_migration_runs_once_and_keeps_what_was_measured(path: Path) -> None:
    with ResultStore(path) as store:
        store.put_name(RecipeName("model", "tensors", "mine", "", "2026-01-01"))
    newer = (*MIGRATIONS, ("ALTER TABLE names ADD COLUMN author TEXT NOT NULL DEFAULT ''",))
    for _ in range(2):
        migrated = database.Database(path, newer)
        assert migrated.rows("SELECT name, author FROM names") == [("mine", "")]
        migrated.close()


def test_perplexities_of_the_first_format_stay_and_have_no_kld(path: Path) -> None:
    nll = np.linspace(0.1, 9.9, 5 * 255).reshape(5, 255)
    older = database.Database(path, MIGRATIONS[:1])
    for chunks in (3, 5):  # a measurement that was stopped, and went on
        older.write(
            "INSERT INTO measurements VALUES (?, ?, ?, ?, ?, ?, 9.5, 1.6, ?, 100, 8, '2026-01-01', 255, ?)",
            *(KEY.model_digest, KEY.tensors_digest, KEY.corpus_digest, KEY.n_ctx, chunks, KEY.engine),
            1.5 * chunks,
            nll[:chunks].tobytes(),
        )
    older.close()
    with ResultStore(path) as store:
        found = store.get_chunks(KEY, 9)
    assert [chunk.nll.tobytes() for chunk in found] == [row.tobytes() for row in nll]
    assert all(chunk.kld is None and chunk.same_top is None and chunk.seconds == 1.5 for chunk in found)


def test_a_folder_in_the_databases_place_is_a_sentence(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"results\.sqlite3 cannot be used"):
        ResultStore(path)


def test_a_full_database_is_a_sentence(path: Path) -> None:
    with ResultStore(path) as store:
        store._database.rows("PRAGMA max_page_count = 8")  # SQLite's own way to be full
        with pytest.raises(StoreError, match="The disk is full, so the result was not saved"):
            for number in range(50):
                store.put_chunk(KEY, number, scores())


def test_a_file_of_a_time_past_what_the_database_holds_is_known_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model.gguf"
    model.touch()
    found = model.stat()
    far = SimpleNamespace(st_size=0, st_ino=found.st_ino, st_mode=found.st_mode, st_mtime_ns=10**24)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", lambda path, **_: far)
        identity = FileIdentity.of(model)
    with ResultStore(tmp_path / "results.sqlite3") as store:
        store.put_model_digest(identity, "d4" * 32)
        assert store.get_model_digest(identity) == "d4" * 32


def test_links_that_go_in_a_circle_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        FileIdentity.of(tmp_path / "loop")
