"""Importance matrix files: what is written comes back, and what is no matrix is refused with a sentence."""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf_files import write_tiny_llama
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imatrices import legacy_imatrix

from lqtui.store.errors import StoreError
from lqtui.store.imatrix_file import Sums, open_imatrix, write_imatrix

SUMS = {
    "blk.0.attn_q.weight": Sums(np.array([[4.0, 8.0, 12.0]], np.float32), np.array([4])),
    "blk.0.ffn_up_exps.weight": Sums(np.array([[1.0, 3.0], [0.0, 0.0]], np.float32), np.array([2, 0])),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    write_imatrix(path, SUMS, ["one.txt", "two.txt"], 9, 512)
    return path


def test_what_is_written_comes_back(path: Path) -> None:
    file = open_imatrix(path)
    assert file.names == tuple(SUMS)
    assert (file.datasets, file.chunks, file.chunk_size, file.is_legacy) == (
        ("one.txt", "two.txt"),
        9,
        512,
        False,
    )
    for name, (squares, counts) in SUMS.items():
        assert np.array_equal(file.sums(name).squares, squares)
        assert np.array_equal(file.sums(name).counts, counts)


def test_weights_are_means_and_experts_that_were_never_chosen_weigh_all_alike(path: Path) -> None:
    file = open_imatrix(path)
    assert file.weights("blk.0.attn_q.weight").tolist() == [1.0, 2.0, 3.0]
    assert file.weights("blk.0.ffn_up_exps.weight").tolist() == [0.5, 1.5, 1.0, 1.0]


def test_the_older_format_is_read_to_the_same_weights(tmp_path: Path, path: Path) -> None:
    file, today = open_imatrix(legacy_imatrix(tmp_path / "m.dat", SUMS, calls=3)), open_imatrix(path)
    for name in SUMS:
        assert file.weights(name) == pytest.approx(today.weights(name))
    assert (file.chunks, file.datasets) == (3, ("old text.txt",))


def test_the_end_of_the_older_format_may_be_missing(tmp_path: Path) -> None:
    path = legacy_imatrix(tmp_path / "m.dat", SUMS)
    path.write_bytes(path.read_bytes()[: -8 - len("old text.txt")])
    file = open_imatrix(path)
    assert (file.chunks, file.datasets, len(file.names)) == (0, (), 2)


def test_what_recipes_depend_on_is_described(path: Path) -> None:
    described = open_imatrix(path).describe()
    assert described.sizes == {"blk.0.attn_q.weight": 3, "blk.0.ffn_up_exps.weight": 4}
    assert (described.name, described.dataset, described.chunks) == ("m.gguf", "one.txt", 9)
    assert described.header() == {
        "quantize.imatrix.file": b"m.gguf",
        "quantize.imatrix.dataset": b"one.txt",
        "quantize.imatrix.entries_count": 2,
        "quantize.imatrix.chunks_count": 9,
    }


def test_a_file_with_another_digest_than_is_known_is_refused(path: Path) -> None:
    digest = open_imatrix(path).describe().sha256
    open_imatrix(path, digest)
    write_imatrix(path, SUMS, ["one.txt"], 9, 512)
    with pytest.raises(StoreError, match="has changed since it was chosen"):
        open_imatrix(path, digest)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("where", ["squares", "counts", "older format"])
def test_values_that_are_no_sums_are_refused(value: float, where: str, path: Path, tmp_path: Path) -> None:
    if where == "older format":
        bad = {"blk.0.attn_q.weight": Sums(np.array([[1, value]], np.float32), np.array([1]))}
        file = open_imatrix(legacy_imatrix(tmp_path / "m.dat", bad))
    else:
        entry = open_imatrix(path)._entries["blk.0.attn_q.weight"]
        contents = bytearray(path.read_bytes())
        at = entry.sums if where == "squares" else entry.counts
        contents[at : at + 4] = struct.pack("<f", value)
        (tmp_path / "bad.gguf").write_bytes(contents)
        file = open_imatrix(tmp_path / "bad.gguf")
    with pytest.raises(StoreError, match=r"for blk\.0\.attn_q\.weight; make it again"):
        file.describe()


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def _written(name: str, contents: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(contents)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder / "none.gguf", "does not exist"),
        (lambda folder: folder, "is a folder"),
        (_pipe, "is not a file but a pipe or device"),
        (_written("empty", b""), "is empty"),
        (
            _written("text", b"It is a truth universally acknowledged, that a single man"),
            "is no importance matrix",
        ),
        (_written("zeros", bytes(4096)), "is no importance matrix"),
        (_written("picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9), "is no importance matrix"),
        (lambda folder: write_tiny_llama(folder / "model.gguf"), "is no importance matrix"),
        (_written("head", b"GGUF\x03\0\0\0"), "is damaged or cut short"),
        (_written("many", b"GGUF" + struct.pack("<Iqq", 3, 2**62, 2**62)), "is damaged or cut short"),
        (_written("negative", b"GGUF" + struct.pack("<Iqq", 3, -1, 0)), "is damaged or cut short"),
        (_written("big endian", b"GGUF" + struct.pack(">Iqq", 3, 1, 1)), "is damaged or cut short"),
        (_written("name", struct.pack("<ii", 1, 2**31 - 1) + bytes(90)), "is no importance matrix"),
        (_written("values", struct.pack("<ii3sii", 1, 3, b"abc", 1, 2**31 - 1) + bytes(90)), "no importance"),
    ],
)
def test_what_is_no_matrix_is_refused(make: Callable[[Path], Path], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=sentence):
        open_imatrix(make(tmp_path))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_refused_or_does_no_harm(data: st.DataObject, path: Path, tmp_path: Path) -> None:
    legacy = legacy_imatrix(tmp_path / "m.dat", SUMS)
    contents = bytearray(data.draw(st.sampled_from([path, legacy])).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(contents) - 1))
        contents[at] = data.draw(st.integers(0, 255))
    contents = contents[: data.draw(st.integers(1, len(contents)))]
    (tmp_path / "damaged").write_bytes(contents)
    try:
        described = open_imatrix(tmp_path / "damaged").describe()
    except StoreError as error:
        assert "damaged" in str(error)  # the file's name
    else:
        assert all(size >= 1 for size in described.sizes.values())


def _string(raw: bytes) -> bytes:
    return struct.pack("<Q", len(raw)) + raw


def _head(n_tensors: int, n_keys: int) -> bytes:
    return struct.pack("<4sIqq", b"GGUF", 3, n_tensors, n_keys)


@pytest.mark.parametrize(
    ("size", "head", "sentence"),
    [
        (1 << 40, _head(2, 4), "and no model's has a tenth of that"),
        (1 << 32, _head(0, 1 << 20), "is damaged or cut short"),
        (1 << 32, _head(1 << 20, 0), "is damaged or cut short"),
        (1 << 32, _head(0, 1) + struct.pack("<Q", 1 << 30), "is damaged or cut short"),
        (
            1 << 32,
            _head(0, 1) + _string(b"a") + struct.pack("<IIQ", 9, 8, 1 << 28),
            "is damaged or cut short",
        ),
        (
            1 << 32,
            _head(2, 0)
            + _string(b"a.in_sum2")
            + struct.pack("<IQIQ", 1, 1 << 28, 0, 0)
            + _string(b"a.counts")
            + struct.pack("<IQIQ", 1, 1, 0, 1 << 30),
            "is damaged or cut short",
        ),
        (1 << 32, struct.pack("<i", 1 << 20), "is no importance matrix"),
        (1 << 32, struct.pack("<ii", 1, 1 << 30), "is no importance matrix"),
        (1 << 32, struct.pack("<ii4sii", 1, 4, b"blk.", 1, 1 << 29), "is no importance matrix"),
    ],
    ids=[
        "1 TB",
        "keys",
        "tensors",
        "name",
        "list",
        "values",
        "entries, older",
        "name, older",
        "values, older",
    ],
)
def test_a_file_of_gigabytes_of_nothing_costs_nothing(
    size: int, head: bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "sparse.imatrix"
    path.write_bytes(head)
    os.truncate(path, size)
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match=sentence):
            open_imatrix(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_is_cut_short_once_it_is_open_is_told_and_one_put_in_its_place_is_not_read(
    path: Path,
) -> None:
    file = open_imatrix(path)
    write_imatrix(path, {name: s._replace(squares=s.squares + 1) for name, s in SUMS.items()}, [], 1, 512)
    assert file.weights("blk.0.attn_q.weight").tolist() == [1.0, 2.0, 3.0]
    cut = open_imatrix(path)
    with path.open("r+b") as opened:
        opened.truncate(200)
    with pytest.raises(StoreError, match="was cut short while it was read"):
        cut.weights("blk.0.ffn_up_exps.weight")


def test_nothing_is_written_that_is_no_sum(tmp_path: Path) -> None:
    bad = {"blk.0.attn_q.weight": Sums(np.array([[np.inf]], np.float32), np.array([1]))}
    with pytest.raises(StoreError, match="infinite or undefined"):
        write_imatrix(tmp_path / "m.gguf", bad, [], 1, 512)
    assert list(tmp_path.iterdir()) == []
