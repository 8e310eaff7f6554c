"""What was measured to learn which tensors deserve the bits is remembered, and adds up."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lqtui.recipe.types import TensorType
from lqtui.store.estimates import BlockEstimate, Estimates, EstimatesKey, load_estimates, save_estimates
from lqtui.store.measured_alone import Asked, load_asked, save_asked

KEY = EstimatesKey("a1" * 32, "c0ffee spread", 512, 1, "llama-cpp-python 0.3.36 1234abcd")
Q8_0, Q4_0 = TensorType.Q8_0, TensorType.Q4_0
MIX = {"blk.0.ffn_up.weight": Q4_0}


def test_what_two_sessions_asked_is_remembered_together(tmp_path: Path) -> None:
    save_asked(tmp_path, KEY, Asked(frozenset({("blk.3", Q4_0)}), 4, (MIX,)))
    save_asked(tmp_path, KEY, Asked(frozenset({("blk.3", Q8_0)}), 1, ({}, MIX)))
    assert load_asked(tmp_path, KEY) == Asked(frozenset({("blk.3", Q4_0), ("blk.3", Q8_0)}), 4, (MIX, {}))


def test_what_was_asked_of_one_text_is_not_told_of_another(tmp_path: Path) -> None:
    save_asked(tmp_path, KEY, Asked(frozenset({("blk.3", Q4_0)})))
    assert load_asked(tmp_path, msgspec.structs.replace(KEY, corpus_digest="other")) is None


def test_it_lies_beside_the_estimates_of_the_same_key_and_takes_nothing_from_them(tmp_path: Path) -> None:
    estimates = Estimates((), (BlockEstimate(0, -0.5, 0.1, 0.2),))
    save_estimates(tmp_path, KEY, estimates)
    save_asked(tmp_path, KEY, Asked(chunks=2))
    assert load_estimates(tmp_path, KEY) == estimates and load_asked(tmp_path, KEY) == Asked(chunks=2)


def test_a_damaged_file_is_not_there_and_the_next_session_begins_anew(tmp_path: Path) -> None:
    save_asked(tmp_path, KEY, Asked(frozenset({("blk.3", Q4_0)})))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert load_asked(tmp_path, KEY) is None
    save_asked(tmp_path, KEY, Asked(frozenset({("blk.4", Q4_0)})))
    assert load_asked(tmp_path, KEY) == Asked(frozenset({("blk.4", Q4_0)}))
