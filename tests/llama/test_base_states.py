"""Hidden states are kept within a cap, and those go that are the least likely to be wanted again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lqtui.llama import base_states
from lqtui.llama.base_states import BaseStates

KEPT_BYTES = 4 * 1000


def chunk(number: int) -> NDArray[np.int32]:
    return np.full(8, number, np.int32)


def save(kept: BaseStates, *numbers: int) -> None:
    for number in numbers:
        kept.save(chunk(number), [np.full(1000, number, np.float32)])


def known(kept: BaseStates, count: int) -> list[int]:
    return [number for number in range(count) if kept.has(chunk(number))]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseStates:
    """Room for three chunks and a bit."""
    monkeypatch.setattr(base_states, "_CAP_BYTES", 3 * KEPT_BYTES + 1000)
    return BaseStates(tmp_path, "here")


def another_process_begins(folder: Path) -> None:
    """Let what was used so far have been used an hour earlier."""
    for path in folder.rglob("*.states"):
        used = path.stat().st_mtime_ns - 3600 * 10**9
        os.utime(path, ns=(used, used))


def test_the_first_chunks_stay_where_there_is_no_room_for_all(kept: BaseStates) -> None:
    save(kept, *range(6))
    assert known(kept, 6) == [0, 1, 2]
    states = kept.load(chunk(2))
    assert states is not None and np.array_equal(states[0], np.full(1000, 2))


def test_a_process_that_goes_through_the_same_text_finds_its_beginning_again(
    kept: BaseStates, tmp_path: Path
) -> None:
    save(kept, *range(3))
    another_process_begins(tmp_path)
    for number in range(5):
        if kept.load(chunk(number)) is None:
            save(kept, number)
    assert known(kept, 5) == [0, 1, 2]


def test_what_was_not_used_for_longest_makes_room_for_another_text(kept: BaseStates, tmp_path: Path) -> None:
    for number in (0, 1, 2):
        save(kept, number)
        another_process_begins(tmp_path)
    assert kept.load(chunk(0)) is not None
    another_process_begins(tmp_path)
    save(kept, 7)
    assert known(kept, 8) == [0, 2, 7]


def test_what_a_clock_gone_wrong_has_stamped_with_a_time_to_come_does_not_keep_all_others_out(
    kept: BaseStates, tmp_path: Path
) -> None:
    save(kept, 0, 1, 2)
    for path in tmp_path.rglob("*.states"):
        os.utime(path, ns=(4 * 10**18, 4 * 10**18))
    save(kept, 7)
    assert kept.has(chunk(7)) and len(known(kept, 8)) == 3


def test_what_is_larger_than_all_room_removes_nothing(kept: BaseStates, tmp_path: Path) -> None:
    save(kept, 0, 1, 2)
    another_process_begins(tmp_path)
    kept.save(chunk(9), [np.zeros(9000, np.float32)])
    assert known(kept, 10) == [0, 1, 2]


def test_each_way_to_place_a_model_on_devices_has_states_and_room_of_its_own(
    kept: BaseStates, tmp_path: Path
) -> None:
    save(kept, 0, 1, 2)
    elsewhere = BaseStates(tmp_path, "there")
    assert elsewhere.load(chunk(0)) is None
    save(elsewhere, 0, 1, 2)
    assert known(kept, 3) == known(elsewhere, 3) == [0, 1, 2]


def test_the_states_of_another_chunk_or_model_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    ours, others = (BaseStates(tmp_path / model / "engine" / "base", "here") for model in "ab")
    save(ours, 1, 2)
    save(others, 1)
    of_first, of_second = ours._path(chunk(1)), ours._path(chunk(2))
    for stray in (of_second, others._path(chunk(1))):
        of_first.write_bytes(stray.read_bytes())
        assert ours.load(chunk(1)) is None
    assert ours.load(chunk(2)) is not None


def test_a_proof_that_says_otherwise_than_was_proven_proves_nothing(tmp_path: Path) -> None:
    kept = BaseStates(tmp_path, "here")
    kept.save_proofs({3: False, 4: True})
    assert kept.load_proofs() == {3: False, 4: True}
    path = next(tmp_path.rglob("restarts.json"))
    path.write_text(path.read_text().replace("false", "true"))
    assert kept.load_proofs() == {}
