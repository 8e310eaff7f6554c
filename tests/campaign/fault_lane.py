"""Where one command runs by itself: a model, a text, a home with results in it, and what is right there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gguf_files import tiny_text, write_tiny_llama

if TYPE_CHECKING:
    from tests.campaign.fault_kinds import Injection

_ON_TEXT = ["--corpus", "{lane}/text.txt", "--ctx", "64", "--chunks", "3", "--threads", "1", "--json"]
COMMANDS: dict[str, list[str]] = {
    "measure": ["measure", "{lane}/tiny.gguf", "--preset", "ffn_q8", "--kld", *_ON_TEXT],
    "quantize": ["quantize", "{lane}/tiny.gguf", "{lane}/out/made", "--preset", "ffn_q8", "--json"],
    "imatrix": ["imatrix", "{lane}/tiny.gguf", "-o", "{lane}/out/made", *_ON_TEXT],
    "export": ["export", "{lane}/tiny.gguf", "-o", "{lane}/out/made", "--preset", "ffn_q8", "--json"],
    "sensitivity": ["sensitivity", "{lane}/tiny.gguf", "--by", "block", *_ON_TEXT],
}
_BEFORE = ["measure", "{lane}/tiny.gguf", "--preset", "attention_q8", "--kld", *_ON_TEXT]
_TIMES = ("seconds", "created", "elapsed", "speed", "sha256")
_TABLES = {"chunks": "model_digest, tensors_digest, corpus_digest, n_ctx, chunk, nll, kld, same_top"}
MARK = "LQTUI_FAULT_LANE"


@dataclass(frozen=True)
class Ended:
    """How a command ended: its code, None where it had to be killed, and what it said."""

    code: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Lane:
    """The folder of one command, with nothing that another one has."""

    folder: Path
    command: str

    @property
    def home(self) -> Path:
        """The LQTUI_HOME."""
        return self.folder / "home"

    @property
    def model(self) -> Path:
        """The model."""
        return self.folder / "tiny.gguf"

    @property
    def out(self) -> Path:
        """What the command writes, if it writes a file."""
        return self.folder / "out" / "made"

    def arguments(self) -> list[str]:
        """The command in this folder."""
        return [part.format(lane=self.folder) for part in COMMANDS[self.command]]

    def environment(self) -> dict[str, str]:
        """The variables of a process in this folder."""
        quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(self.folder / "hub"), "PYTHONUNBUFFERED": ""}
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, **quiet, "LQTUI_HOME": str(self.home), MARK: str(self.folder)}

    def out_digest(self) -> str | None:
        """What stands for the bytes of the written file; None where there is none."""
        with contextlib.suppress(OSError):
            return hashlib.sha256(self.out.read_bytes()).hexdigest()
        return None

    def rows(self) -> frozenset[tuple[Any, ...]] | str:
        """All chunks that are kept; a sentence where the file is damaged."""
        database = self.home / "data" / "results.sqlite3"
        try:
            with contextlib.closing(sqlite3.connect(database)) as connection:
                (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
                if sound != "ok":
                    return str(sound)
                (table,) = _TABLES.items()
                return frozenset(connection.execute(f"SELECT {table[1]} FROM {table[0]}"))
        except sqlite3.Error as error:
            return str(error)


@dataclass
class Reference:
    """What undisturbed commands give, and the home that each of them begins with."""

    folder: Path
    rows: frozenset[tuple[Any, ...]] = frozenset()
    stdout: dict[str, str] = field(default_factory=dict)
    out: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def made(cls, folder: Path, commands: Sequence[str] = tuple(COMMANDS)) -> Reference:
        """Run each of the commands once, without a fault."""
        from tests.campaign.fault_kinds import Injection

        whole = cls(folder)
        begun = folder / "begun"
        (begun / "out").mkdir(parents=True)
        write_tiny_llama(begun / "tiny.gguf")
        (begun / "text.txt").write_text(tiny_text())
        _prepare(Lane(begun, ""))
        found = Lane(begun, "").rows()
        assert not isinstance(found, str) and found
        whole.rows = found
        for name in commands:
            lane = whole.lane(folder / f"right-{name}", name)
            done = run_lqtui(lane, Injection(), 120)
            assert done.code == 0, done.stderr
            whole.stdout[name], whole.out[name] = done.stdout, lane.out_digest()
        return whole

    def lane(self, folder: Path, command: str) -> Lane:
        """A folder of its own for a command."""
        shutil.copytree(self.folder / "begun", folder)
        return Lane(folder, command)


def _prepare(lane: Lane) -> None:
    command = [sys.executable, "-m", "lqtui", *(part.format(lane=lane.folder) for part in _BEFORE)]
    subprocess.run(command, env=lane.environment(), check=True, capture_output=True, timeout=120)


def run_lqtui(lane: Lane, injection: Injection, patience: float) -> Ended:
    """Run a lane's command with a fault, and wait till it has ended."""
    arguments = injection.arguments or lane.arguments()
    command = [*injection.wrapped_in, sys.executable, "-m", "lqtui", *arguments]
    variables = {**lane.environment(), **injection.variables}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in variables.items() if value is not None},
        cwd=injection.at or lane.folder,
        preexec_fn=injection.before_exec,
        start_new_session=True,
    )
    meanwhile = threading.Thread(target=injection.meanwhile, args=(process,), daemon=True)
    meanwhile.start()
    try:
        out, error = process.communicate(timeout=patience)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        out, error = process.communicate()
        code = None
    meanwhile.join(patience)
    said = out.decode(errors="replace").replace(str(lane.folder), "LANE")
    return Ended(code, _untimed(said), error.decode(errors="replace"))


def left_running(lane: Lane, patience: float) -> list[int]:
    """The processes of a lane that are there though their command has ended, after some patience; killed."""
    deadline = time.monotonic() + patience
    while (pids := _of(lane)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _of(lane: Lane) -> list[int]:
    mark = f"{MARK}={lane.folder}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def _untimed(said: str) -> str:
    """What a command printed, without what differs each time."""
    try:
        return json.dumps(_without_times(json.loads(said)))
    except ValueError:
        return said


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if not any(t in k for t in _TIMES)}
    return [_without_times(each) for each in value] if isinstance(value, list) else value
