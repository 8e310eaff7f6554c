"""Reads the machine's meters beside the app, because a sleeping GPU can take seconds to answer."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lqtui.system.meters import Snapshot

_SECONDS = 1.0


class MetersThread:
    """Calls `tell` with a snapshot every second, from a daemon thread that never holds up the exit."""

    def __init__(self, read: Callable[[], Snapshot], tell: Callable[[Snapshot], object]) -> None:
        self._read = read
        self._tell = tell
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meters", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more; a reading under way is not told."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            snapshot = self._read()
            if self._stopped.is_set():
                return
            self._tell(snapshot)
            self._stopped.wait(_SECONDS)
