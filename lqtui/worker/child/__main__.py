"""The process's two ends: reads one task from standard input, writes events to standard output."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from types import FrameType
from typing import BinaryIO

from lqtui.hub.errors import HubError, NotOnHubError
from lqtui.llama.errors import EngineError
from lqtui.recipe.errors import RecipeError
from lqtui.store.errors import StoreError
from lqtui.worker.child.tasks import Send, run
from lqtui.worker.messages import Event, Failed, Task, packed, read_task

_NICENESS = 5
_WAKING_SECONDS = 0.1
_ORPHAN_SECONDS = 2.0
"""How long a child without a parent may take to remove what it has half-written."""


def main() -> None:
    """Run the task on standard input; events go to standard output, everything else to standard error."""
    faulthandler.enable()
    send = _sender(_take_standard_output())
    with contextlib.suppress(OSError, AttributeError):
        os.nice(_NICENESS)
    stdin = os.fdopen(0, "rb", buffering=0)
    task = read_task(stdin)
    if task is None:
        return
    code = 1
    try:
        signal.signal(signal.SIGTERM, _stop)
        _rest_when_told()
        threading.Thread(target=_stop_with_parent, args=(stdin,), daemon=True).start()
        _answer(task, send)
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)  # what native code would still do at exit is of no use, and can crash


def _answer(task: Task, send: Send) -> None:
    try:
        send(run(task, send))
    except (EngineError, StoreError, RecipeError) as error:
        send(Failed(str(error)))
    except HubError as error:
        send(Failed(str(error), bad_input=isinstance(error, NotOnHubError)))
    except MemoryError:
        said = "the memory does not suffice for this job; close something, or choose a smaller recipe"
        send(Failed(said, bad_input=False))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else "the job stopped while it read or wrote a file: "
        send(Failed(f"{place}{error.strerror or error}", bad_input=False))


def _take_standard_output() -> BinaryIO:
    """Keep standard output for events, and send to standard error whatever native code prints."""
    sys.stdout.flush()
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return events


def _sender(stream: BinaryIO) -> Send:
    def send(event: Event) -> None:
        try:
            stream.write(packed(event))
            stream.flush()
        except BrokenPipeError:
            _stop()

    return send


def _stop(number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
    """Leave the task by an exception, so that everything half-written is removed on the way out."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


def _rest_when_told() -> None:
    """Let the parent's signals halt the work between two steps of Python, and let it go on.

    Both may come within one step. Python then hears the lower number first, and the higher one not before the
    first handler has returned. So it is the one to go on that is lower, and counts although nothing rests.
    """
    if sys.platform == "win32":
        return
    halts = 0

    def rest(number: int, frame: FrameType | None) -> None:
        nonlocal halts
        halts += 1
        while halts > 0:
            time.sleep(_WAKING_SECONDS)  # the other signals are heard meanwhile, that to stop too

    def wake(number: int, frame: FrameType | None) -> None:
        nonlocal halts
        halts = max(halts - 1, -1)

    signal.signal(signal.SIGUSR1, wake)
    signal.signal(signal.SIGUSR2, rest)


def _stop_with_parent(stdin: BinaryIO) -> None:
    """Stop when the parent's end of the pipe closes: the job was cancelled, or the app closed or killed."""
    stdin.read(1)
    main = threading.main_thread().ident
    if sys.platform != "win32" and main is not None:
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(_ORPHAN_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
