"""A sealed file is used only as long as it is what it was, where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from lqtui.store.sealed import SEAL_BYTES, SealedFile, is_sealed

CONTENTS = bytes(range(256)) * 9


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "shard"
    with path.open("wb") as file:
        writer = SealedFile(file, "model/engine/q4_0/name")
        assert writer.write(CONTENTS[:100]) == 100
        writer.write(CONTENTS[100:])
        writer.seal()
    return path


def is_whole(path: Path, of: str = "model/engine/q4_0/name") -> bool:
    return is_sealed(path, len(CONTENTS), of)


def test_a_file_as_it_was_sealed_is_whole_however_often_it_is_asked(sealed: Path) -> None:
    assert [is_whole(sealed), is_whole(sealed)] == [True, True]


@pytest.mark.parametrize("at", [0, 1000, len(CONTENTS) - 1, len(CONTENTS), len(CONTENTS) + SEAL_BYTES - 1])
def test_one_flipped_bit_anywhere_is_noticed_even_in_a_file_that_was_whole(sealed: Path, at: int) -> None:
    assert is_whole(sealed)
    raw = bytearray(sealed.read_bytes())
    raw[at] ^= 1
    sealed.write_bytes(raw)
    assert not is_whole(sealed)


@pytest.mark.parametrize("length", [0, 1, len(CONTENTS), len(CONTENTS) + SEAL_BYTES - 1])
def test_a_file_cut_short_is_not_whole(sealed: Path, length: int) -> None:
    sealed.write_bytes(sealed.read_bytes()[:length])
    assert not is_whole(sealed)


def test_the_file_of_something_else_is_not_whole_though_nothing_in_it_is_damaged(sealed: Path) -> None:
    assert not is_whole(sealed, "another/engine/q4_0/name")


def test_neither_a_folder_nor_nothing_is_whole(tmp_path: Path) -> None:
    assert not is_whole(tmp_path) and not is_whole(tmp_path / "nothing")
