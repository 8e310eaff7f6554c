"""What stock llama.cpp's tools print."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

_ATTEMPTS = 3


def stock_output(command: Sequence[object], last: str) -> str:
    """Both streams of a tool, up to `last`, which is in one of its last lines.

    The tools log from a thread of its own, whose last lines can be lost where the process ends on a busy
    machine; then the tool is run again.
    """
    for _ in range(_ATTEMPTS):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        if last in done.stdout + done.stderr:
            break
    return done.stdout + done.stderr
