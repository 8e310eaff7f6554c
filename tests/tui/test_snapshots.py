"""The app looks as it was last approved, at every size and in every kind of theme.

After a change that is meant: `pytest tests/tui/test_snapshots.py --snapshot-update`; look at what changed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scenes import DIALOGS, MAIN, Scene, arranged, posed_app

SIZES = {"80x24": (80, 24), "120x36": (120, 36), "200x50": (200, 50)}
THEMES = {"dark": "textual-dark", "light": "textual-light", "ansi": "ansi-dark"}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, and a folder like any, whatever the terminal of the one who tests."""
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/me"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


@pytest.fixture(autouse=True)
def approved(request: pytest.FixtureRequest) -> None:
    """There is something to compare with, or something is to be made."""
    if not (Path(__file__).parent / "__snapshots__").exists() and not request.config.option.update_snapshots:
        pytest.skip("nothing was approved yet: run with --snapshot-update")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_the_main_screen(snap_compare: Callable[..., bool], size: str, theme: str) -> None:
    assert snap_compare(posed_app(THEMES[theme]), terminal_size=SIZES[size], run_before=arranged(MAIN))


@pytest.mark.parametrize("scene", DIALOGS, ids=lambda scene: scene.name)
def test_what_a_small_terminal_shows(snap_compare: Callable[..., bool], scene: Scene) -> None:
    assert snap_compare(posed_app(THEMES["dark"]), terminal_size=SIZES["80x24"], run_before=arranged(scene))
