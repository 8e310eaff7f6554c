"""A short campaign of hostile texts and damaged stores, and that it would see what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign import texts

_PLANTED = "tests.campaign.planted"


def test_no_hostile_text_and_no_damaged_store_ends_lqtui_or_changes_what_it_tells(tmp_path: Path) -> None:
    row = texts.run(20, 8, tmp_path, print)
    assert row.injected == 20
    assert row.clean, "\n".join(row.details)


def test_a_death_a_leak_and_another_number_are_told_with_what_repeats_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(dice: object, given: object, folder: Path, home: Path) -> texts._Made:
        (folder / "r.toml").write_text("base")
        return texts._Made(
            "recipes", "planted", lambda w: w.call(f"{_PLANTED}:raise_error"), folder / "r.toml"
        )

    def leaks(dice: object, given: object, folder: Path, home: Path) -> texts._Made:
        return texts._Made(
            "states", "planted", lambda w: w.call(f"{_PLANTED}:list_folder", str(tmp_path)), folder
        )

    def loses(dice: object, given: texts._Given, folder: Path, home: Path) -> texts._Made:
        given.told["kld"] += 1e-9  # as if a damaged row had been used
        return texts._Made("databases", "planted", texts._measured(given), folder, measures=True)

    monkeypatch.setattr(texts, "_KINDS", (dies, leaks, loses))
    row = texts.run(3, 5, tmp_path, print)
    assert (row.deaths, row.leaks, row.lost) == (1, 1, 1)
    assert row.details[0].startswith("--seed 5 --only 0: recipes, planted: printed a traceback")
    assert (tmp_path / "failed" / "0" / "r.toml").read_text() == "base"
    assert texts.run(3, 5, tmp_path, print, only=0).injected == 1
