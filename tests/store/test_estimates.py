"""Estimates are found again under the key that they were kept under, whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from lqtui.recipe.types import TensorType
from lqtui.store import estimates
from lqtui.store.errors import StoreError
from lqtui.store.estimates import (
    BlockEstimate,
    Estimates,
    EstimatesKey,
    OutputError,
    TensorEstimate,
    load_estimates,
    save_estimates,
)

KEY = EstimatesKey("a1" * 32, "c0ffee spread", 512, 8, "llama-cpp-python 0.3.36 1234abcd")
Q8_0, Q4_0 = TensorType.Q8_0, TensorType.Q4_0


def some(power: float = 2.0) -> Estimates:
    embedding = TensorEstimate(
        "token_embd.weight",
        OutputError({Q8_0: 1e-5, Q4_0: 0.1}, power),
        OutputError({Q8_0: 2e-9, Q4_0: 0.03}, 0.5),
        21.5,
        0.25,
    )
    unread = TensorEstimate("blk.0.ffn_up.weight", None, None, -0.1, 0.0)
    return Estimates(
        (embedding, unread), (BlockEstimate(0, -0.5, 0.15, 0.3), BlockEstimate(1, None, 0.1, 0.2))
    )


def test_estimates_are_found_again_to_the_last_bit(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "estimates"
    save_estimates(folder, KEY, some(0.1 + 0.2))
    assert load_estimates(folder, KEY) == some(0.1 + 0.2)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"model_digest": "b2" * 32},
        {"corpus_digest": "c0ffee"},
        {"n_ctx": 256},
        {"chunks": 4},
        {"engine": "llama-cpp-python 0.3.37 1234abcd"},
    ],
)
def test_each_part_of_the_key_has_estimates_of_its_own(other: dict[str, object], tmp_path: Path) -> None:
    key = msgspec.structs.replace(KEY, **other)
    save_estimates(tmp_path, KEY, some())
    assert load_estimates(tmp_path, key) is None
    save_estimates(tmp_path, key, some(3.0))
    assert load_estimates(tmp_path, KEY) == some() and load_estimates(tmp_path, key) == some(3.0)


def test_new_estimates_take_the_place_of_old_ones(tmp_path: Path) -> None:
    save_estimates(tmp_path, KEY, some())
    save_estimates(tmp_path, KEY, some(7.0))
    assert load_estimates(tmp_path, KEY) == some(7.0)
    assert len(list(tmp_path.iterdir())) == 1


def test_where_nothing_was_kept_there_is_nothing(tmp_path: Path) -> None:
    assert load_estimates(tmp_path / "no such folder", KEY) is None


def test_a_damaged_file_is_not_there_wherever_the_damage_is(tmp_path: Path) -> None:
    save_estimates(tmp_path, KEY, some())
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        assert load_estimates(tmp_path, KEY) is None, at
        file.write_bytes(whole[:at])
        assert load_estimates(tmp_path, KEY) is None, at
    file.write_bytes(whole)
    assert load_estimates(tmp_path, KEY) == some()


def test_a_file_under_anothers_name_is_not_there(tmp_path: Path) -> None:
    other = msgspec.structs.replace(KEY, chunks=4)
    save_estimates(tmp_path, KEY, some())
    (mine,) = tmp_path.iterdir()
    save_estimates(tmp_path, other, some(3.0))
    (theirs,) = set(tmp_path.iterdir()) - {mine}
    mine.write_bytes(theirs.read_bytes())
    assert load_estimates(tmp_path, KEY) is None


def test_a_file_of_another_version_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_estimates(tmp_path, KEY, some())
    monkeypatch.setattr(estimates, "_VERSION", estimates._VERSION + 1)
    assert load_estimates(tmp_path, KEY) is None
    save_estimates(tmp_path, KEY, some(3.0))
    assert load_estimates(tmp_path, KEY) == some(3.0)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a file has its name"):
        save_estimates(tmp_path / "file" / "estimates", KEY, some())


def test_what_cannot_be_written_whole_leaves_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_estimates(tmp_path, KEY, some())

    def half(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(StoreError, match="became full"):
        save_estimates(tmp_path, KEY, some(7.0))
    assert load_estimates(tmp_path, KEY) == some()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_relative_error_is_a_share_of_the_outputs_power() -> None:
    error = OutputError({Q8_0: 0.0, Q4_0: 0.3}, 6.0)
    assert error.relative(Q4_0) == pytest.approx(0.05) and error.relative(Q8_0) == 0
    assert OutputError({Q4_0: 0.0}, 0.0).relative(Q4_0) == 0
    with pytest.raises(KeyError):
        error.relative(TensorType.Q6_K)
