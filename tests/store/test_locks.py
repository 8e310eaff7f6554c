"""A lock's file is written to, so it has to be a file, and lqtui's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lqtui.store.errors import StoreError
from lqtui.store.locks import file_lock, shared_lock


@pytest.fixture(params=[file_lock, shared_lock])
def lock(request: pytest.FixtureRequest) -> Callable[[Path, str], object]:
    return request.param


def test_what_a_link_in_its_place_leads_to_is_left_alone(lock: Callable, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("not to be lost")
    (tmp_path / "a.lock").symlink_to(precious)
    with (
        pytest.raises(StoreError, match=r"a.lock, the lock of it, is a link"),
        lock(tmp_path / "a.lock", "it"),
    ):
        pass
    assert precious.read_text() == "not to be lost"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_in_its_place_is_refused_and_not_waited_for(lock: Callable, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.lock")
    with pytest.raises(StoreError, match="pipe or device"), lock(tmp_path / "a.lock", "it"):
        pass
