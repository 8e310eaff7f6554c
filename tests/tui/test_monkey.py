"""Keys that nobody would press bring nothing down; `monkey.py` by itself presses ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest
from monkey import rampage, writing_only_in


async def test_three_hundred_random_keys_leave_the_app_alive_its_history_whole_and_other_folders_alone(
    tmp_path: Path, hub_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path))
    with writing_only_in(tmp_path) as elsewhere:
        seen = await rampage(keys=300, seed=2)
    assert elsewhere == []
    assert len(seen) >= 12, seen
