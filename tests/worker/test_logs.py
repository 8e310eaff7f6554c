"""A job's log holds what its process said last, and does not fill the disk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lqtui.worker.client import EngineDied, log_tail, run_task
from lqtui.worker.messages import Describe

_CHATTERBOX = """#!{python}
import sys, time
for _ in range(3):
    for number in range(100_000):
        sys.stderr.write("a line of eighty characters that nobody will ever want to read, and one more so\\n")
    sys.stderr.flush()
    time.sleep(1.2)
sys.stderr.write("error: the end\\n")
sys.exit(3)
"""


async def test_a_process_that_says_a_lot_leaves_a_short_log_that_ends_as_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    child.write_text(_CHATTERBOX.format(python=sys.executable))
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    log = tmp_path / "job.log"
    with pytest.raises(EngineDied, match="error: the end"):
        await run_task(Describe(), log)
    assert log.stat().st_size < 9 << 20
    assert b"(what the log said before is left out)\n" in log.read_bytes()
    assert log_tail(log, 2).splitlines()[-1] == "error: the end"
