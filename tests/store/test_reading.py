"""What is read as a small file never waits, never fills the memory, and fails as files do."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from lqtui.store.kept import load_kept, save_kept
from lqtui.store.reading import read_at_most
from lqtui.store.state_file import read_state, write_state


class Remembered(msgspec.Struct, frozen=True):
    word: str = ""


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert read_at_most(path, 4) == b"0123"
    assert read_at_most(path, 40) == b"0123456789"


def test_a_pipe_that_nobody_writes_to_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe or device"):
        read_at_most(tmp_path / "pipe", 1)
    with pytest.raises(OSError, match="pipe or device"):
        read_at_most(Path("/dev/zero"), 1)


@pytest.mark.parametrize("name", ["zero\0byte", "lone\ud800surrogate"])
def test_a_name_that_no_file_can_have_is_an_error_of_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="name"):
        read_at_most(tmp_path / name, 1)


@pytest.mark.parametrize(
    "raw", [b"[" * 200_000, b'{"version": 1, "word": ' + b"[" * 200_000, b" " * (17 << 20)]
)
def test_a_state_that_nests_or_goes_on_without_end_is_set_aside(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(raw)
    read = read_state(path, 1, Remembered)
    assert read.state is None and "damaged" in read.problem
    assert path.with_name("state.json.aside").read_bytes() == raw
    write_state(path, 1, Remembered("again"))
    assert read_state(path, 1, Remembered).state == Remembered("again")


def test_a_pipe_in_the_place_of_a_state_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.json")
    read = read_state(tmp_path / "state.json", 1, Remembered)
    assert read.state is None and "pipe" in read.problem


def test_what_is_kept_of_a_hostile_depth_is_not_there(tmp_path: Path) -> None:
    save_kept(tmp_path, "kept", 1, Remembered("key"), Remembered("value"))
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"\x94\x01" + b"\x91" * 200_000)
    assert load_kept(tmp_path, "kept", 1, Remembered("key"), Remembered) is None
