"""A short campaign of hostile model files, and that it would see what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign import files

_PLANTED = "tests.campaign.planted"


def test_no_damaged_file_ends_lqtui_or_leads_it_out_of_its_places(tmp_path: Path) -> None:
    row = files.run(20, 8, tmp_path, print)
    assert row.injected == 20
    assert row.clean, "\n".join(row.details)


def test_a_fault_is_told_with_what_repeats_it_and_its_input_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(dice: object, given: object, folder: Path) -> tuple[str, str, files.Call]:
        (folder / "m.gguf").write_bytes(b"GGUF")
        return "GGUF files", "planted", lambda watched: watched.call(f"{_PLANTED}:raise_error")

    def leaks(dice: object, given: object, folder: Path) -> tuple[str, str, files.Call]:
        return "splits", "planted", lambda watched: watched.call(f"{_PLANTED}:list_folder", str(tmp_path))

    monkeypatch.setattr(files, "_KINDS", (dies, leaks))
    row = files.run(2, 5, tmp_path, print)
    assert (row.deaths, row.leaks) == (1, 1)
    assert row.details[0].startswith("--seed 5 --only 0: GGUF files, planted: printed a traceback")
    assert (tmp_path / "failed" / "0" / "m.gguf").read_bytes() == b"GGUF"


def test_the_same_seed_and_number_make_the_same_input(tmp_path: Path) -> None:
    good = files.parsed(files.write_tiny_llama(tmp_path / "good.gguf", blocks=1).read_bytes())
    made = [[files.damaged(good, files.random.Random(f"files 1 {n}")) for n in range(200)] for _ in "ab"]
    assert made[0] == made[1]
    assert len({raw for _, raw in made[0]}) > 150
