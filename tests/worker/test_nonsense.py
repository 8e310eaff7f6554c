"""A child that speaks nonsense, says nothing or logs without end."""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path

import pytest

from lqtui.worker.client import EngineDied, JobFailed, log_tail
from lqtui.worker.messages import (
    Describe,
)
from tests.worker.child_runs import (
    Run,
    is_gone,
    pretend_child,
)


@pytest.mark.parametrize(
    "said",
    [
        b"hello, I am no message",
        struct.pack(">I", 5) + b"{bad}",
        struct.pack(">I", 16) + b'{"type":"Nobody"}'[:16],
        struct.pack(">I", 0xFFFFFFFF) + b"x",
    ],
    ids=["text", "bad JSON", "unknown message", "4 GiB"],
)
async def test_a_child_that_speaks_nonsense_and_lives_on_is_ended(
    said: bytes, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import sys, time; sys.stdout.buffer.write({said!r}); sys.stdout.flush(); time.sleep(60)"
    pretend_child(monkeypatch, tmp_path, code)
    with pytest.raises(EngineDied, match="no message of lqtui's"):
        await asyncio.wait_for(run(Describe()), 5)
    assert is_gone(run.pid)


async def test_a_child_that_ends_without_an_answer_is_told_with_its_last_words(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_child(
        monkeypatch, tmp_path, "import sys; print('ggml error: no luck', file=sys.stderr); sys.exit(3)"
    )
    with pytest.raises(EngineDied, match=r"exit code 3; its log says: ggml error: no luck"):
        await run(Describe())


async def test_a_message_cut_short_is_a_death(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_child(monkeypatch, tmp_path, "import sys; sys.stdout.buffer.write(b'\\0\\0\\0\\x09{}')")
    with pytest.raises(EngineDied, match="exit code 0"):
        await run(Describe())


# The log


def test_the_tail_of_a_huge_log_is_read_without_reading_all_of_it(tmp_path: Path) -> None:
    log = tmp_path / "huge.log"
    with log.open("wb") as file:
        file.truncate(8 << 30)  # sparse
        file.seek(0, os.SEEK_END)
        file.write(b"\n".join(b"line %d" % i for i in range(1000)) + b"\xff\xfe\n")
    tail = log_tail(log, 10)
    assert tail.splitlines()[0] == "line 990" and len(tail.splitlines()) == 10


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "none.log") == ""


async def test_a_child_that_logs_without_end_does_not_hold_up_its_answer(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
        import sys
        for _ in range(200_000):
            print("llama_model_loader: a line that nobody reads", file=sys.stderr)
        body = b'{"type":"Failed","message":"done with it"}'
        sys.stdout.buffer.write(len(body).to_bytes(4, "big") + body)
    """
    pretend_child(monkeypatch, tmp_path, code)
    with pytest.raises(JobFailed, match=r"^done with it$"):
        await run(Describe())
    assert log_tail(run.log, 2).splitlines()[-1] == "llama_model_loader: a line that nobody reads"
