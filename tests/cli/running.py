"""The `lqtui` command as a process of its own, and what is asked of its answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

Done = subprocess.CompletedProcess[str]


def lqtui(*arguments: str | Path, **options: Any) -> Done:
    """Run the command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "lqtui", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def document(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(done: Done, sentence: str, code: int = 2) -> None:
    """The command failed with one sentence on standard error, and nothing else anywhere."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("lqtui: ")]
    assert len(lines) == 1 and lines == done.stderr.splitlines()[-1:], done.stderr
    assert sentence in lines[0], lines[0]
