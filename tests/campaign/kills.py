"""Kill -9 and power cuts at random moments: nothing measured is lost, nothing damaged is used, all goes on.

Each number is one trial: a scene is begun in an empty home, the app, its child, or both are killed, or the
power is cut as well; then it is done once more, to its end, and compared with what it gives undisturbed.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.campaign import kill_terminal, power
from tests.campaign.kill_scenes import SCENES, Scene, Stage
from tests.campaign.row import Row

DEFAULT = 280
VICTIMS = ("app", "child", "both", "power")
_TERMINAL_EVERY = 40
_PATIENCE = 180.0
_ORPHAN_SECONDS = 10.0

Sabotage = Callable[[Path], None]
"""A fault that is planted in a home after the kill, to see that it is found."""

Chunk = tuple[str, str, int]


class Known(NamedTuple):
    """What a home holds: the scores of each chunk and when they were stored, outputs, and names of files."""

    chunks: dict[Chunk, tuple[bytes, ...]]
    created: dict[Chunk, str]
    outputs: dict[str, bytes]
    files: frozenset[str]


@dataclass
class _Tally:
    """What the trials came to."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*VICTIMS, "terminal"), 0))
    lost: int = 0
    deaths: int = 0
    leaks: int = 0
    details: list[str] = field(default_factory=list)


class Trouble(Exception):
    """What went wrong in a trial, by the column of the table where it counts."""

    def __init__(self, column: str, what: str) -> None:
        super().__init__(what)
        self.column = column


def run(
    count: int,
    seed: int,
    work: Path,
    tell: Callable[[str], None],
    only: int | None = None,
    sabotage: Sabotage | None = None,
) -> Row:
    """Kill `count` times, or the one time of a number, and tell what became of it."""
    tally = _Tally()
    with Stage.built(work / "stage") as stage:
        undisturbed: dict[str, tuple[Known, float]] = {}
        for number in range(count) if only is None else [only]:
            if number % _TERMINAL_EVERY == _TERMINAL_EVERY - 1:
                trial = partial(_terminal_trial, random.Random(f"{seed}-{number}"), stage)
                _tried(trial, "terminal", work / f"{number:05}", seed, number, tally, tell)
                continue
            scene = SCENES[number % len(SCENES)]
            if scene.name not in undisturbed:
                undisturbed[scene.name] = _undisturbed(scene, stage, work / f"undisturbed-{scene.name}")
            trial = partial(
                _trial,
                random.Random(f"{seed}-{number}"),
                scene,
                stage,
                expected=undisturbed[scene.name][0],
                seconds=undisturbed[scene.name][1],
                turn=number // len(SCENES),
                sabotage=sabotage,
            )
            _tried(trial, scene.name, work / f"{number:05}", seed, number, tally, tell)
            if number % 20 == 19:
                tell(f"kills: {number + 1} of {count}, {tally.kills}, {len(tally.details)} failed")
    told = ", ".join(f"{kills} of {victim}" for victim, kills in tally.kills.items())
    tried = f"{sum(tally.kills.values())} ends ({told}) in {len(undisturbed)} kinds of work"
    injected = sum(tally.kills.values())
    return Row("kills", tried, injected, tally.lost, tally.deaths, tally.leaks, tuple(tally.details))


def _tried(
    trial: Callable[[Path], str],
    name: str,
    folder: Path,
    seed: int,
    number: int,
    tally: _Tally,
    tell: Callable[[str], None],
) -> None:
    """Do one trial in a folder, which stays where it fails, and count whom it killed."""
    try:
        if victim := trial(folder):
            tally.kills[victim] += 1
    except Trouble as trouble:
        setattr(tally, trouble.column, getattr(tally, trouble.column) + 1)
        tally.details.append(f"seed {seed}, number {number}, {name}: {trouble}")
        tell(f"kills: {tally.details[-1]}")
    else:
        shutil.rmtree(folder)


def _terminal_trial(chance: random.Random, stage: Stage, folder: Path) -> str:
    home = folder / "home"
    home.mkdir(parents=True)

    def measured() -> int:
        return len(_stored(home / "data" / "results.sqlite3")[0])

    try:
        kill_terminal.killed(stage, home, chance, measured)
    except SystemExit as slow:
        raise Trouble("deaths", str(slow)) from None
    _must_leave_no_orphans(home)
    _, before = _stored(home / "data" / "results.sqlite3")
    if not kill_terminal.gone_on(stage, home, measured):
        raise Trouble("lost", "the next start did not offer what was not finished, or did not do it")
    _must_leave_no_orphans(home)
    if not before.items() <= _stored(home / "data" / "results.sqlite3")[1].items():
        raise Trouble("lost", "chunks that were there are not there any more, or were measured again")
    return "terminal"


def _undisturbed(scene: Scene, stage: Stage, folder: Path) -> tuple[Known, float]:
    home = folder / "home"
    home.mkdir(parents=True)
    began = time.monotonic()
    _to_its_end(scene, stage, home, {})
    seconds = time.monotonic() - began
    known = _known(home, scene)
    shutil.rmtree(folder)
    return known, seconds


def _trial(
    chance: random.Random,
    scene: Scene,
    stage: Stage,
    folder: Path,
    *,
    expected: Known,
    seconds: float,
    turn: int,
    sabotage: Sabotage | None,
) -> str:
    """Do a scene, killed and done again; whom it killed, nobody where all was done by then."""
    home, journal = folder / "home", folder / "journal"
    home.mkdir(parents=True)
    victim = VICTIMS[turn % len(VICTIMS)]
    environment = power.recording(journal, home) if victim == "power" else {}
    is_finished = victim == "power" and not scene.offers and chance.random() < 0.5
    if is_finished:
        _to_its_end(scene, stage, home, environment)
        hit = True
    else:
        after = chance.uniform(0.15, 0.95) * seconds
        hit = _killed(scene, stage, home, environment, after, victim, chance)
    told = scene.told(home)
    if victim == "power":
        power.cut(journal, home, chance)
    before = _known(home, scene)
    if sabotage is not None:
        sabotage(home)
    for name, content in before.outputs.items():
        if content != expected.outputs.get(name):
            raise Trouble("lost", f"{name} is not whole after a kill of {victim}")
    if is_finished and before.outputs.keys() != expected.outputs.keys():
        raise Trouble("lost", "an output that was told to be written is not there after a power cut")
    if is_finished and before.chunks != expected.chunks:
        raise Trouble("lost", "results that were told are not there after a power cut")
    if missing := told - {recipe for _, recipe, _ in before.chunks}:
        raise Trouble("lost", f"{len(missing)} recipes were told to be measured and are not there")
    said = _to_its_end(scene, stage, home, environment)
    after = _known(home, scene)
    if scene.offers and victim != "child" and told and not scene.was_offered(said, home, len(told)):
        raise Trouble("lost", "the next start did not offer what was not finished")
    if victim != "power" and not before.created.items() <= after.created.items():
        raise Trouble("lost", "chunks that were there are not there any more, or were measured again")
    if after.chunks != expected.chunks:
        raise Trouble("lost", f"results differ from undisturbed ones after {victim}")
    if after.outputs != expected.outputs:
        raise Trouble("lost", f"outputs differ from undisturbed ones after {victim}")
    if more := sorted(after.files - expected.files):
        raise Trouble("leaks", f"{len(more)} files stay that no undisturbed run leaves: {more[:3]}")
    return victim if hit else ""


def _killed(
    scene: Scene,
    stage: Stage,
    home: Path,
    environment: dict[str, str],
    after: float,
    victim: str,
    chance: random.Random,
) -> bool:
    """Run a scene and kill a process of it after some seconds; whether it was still there by then."""
    app = _begun(scene, stage, home, environment)
    if scene.offers and victim in ("both", "power"):  # soon after it has told of a measurement
        deadline = time.monotonic() + _PATIENCE
        while not scene.told(home) and app.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        after = chance.uniform(0, 0.2)
    with contextlib.suppress(subprocess.TimeoutExpired):
        app.wait(after)
    if victim == "child":
        hit = _kill_child(app)
        _, error = _ended(app)  # the app's jobs fail, and it goes on with the others
        _must_be_a_sentence(error, app.returncode, failed=hit)
    else:
        hit = app.poll() is None
        for process in (*(_tree(app) if victim in ("both", "power") else []), app):
            with contextlib.suppress(psutil.Error, OSError):
                process.send_signal(signal.SIGKILL)
        app.communicate()
    _must_leave_no_orphans(home)
    return hit


def _kill_child(app: subprocess.Popen[str]) -> bool:
    """Kill the child as soon as there is one; False where the command ends without another."""
    deadline = time.monotonic() + _ORPHAN_SECONDS  # no child comes to an app that has done its work
    while app.poll() is None and time.monotonic() < deadline:
        for child in _tree(app):
            with contextlib.suppress(psutil.Error):
                child.send_signal(signal.SIGKILL)
                return True
        time.sleep(0.01)
    return False


def _tree(app: subprocess.Popen[str]) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(app.pid).children(recursive=True)
    return []


def _must_leave_no_orphans(home: Path) -> None:
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while orphans := list(_of_home(home)):
        if time.monotonic() > deadline:
            for orphan in orphans:
                orphan.kill()
            raise Trouble("deaths", f"{len(orphans)} processes outlived the app: {orphans}")
        time.sleep(0.05)


def _of_home(home: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("LQTUI_HOME") == str(home):
                yield process


def _begun(scene: Scene, stage: Stage, home: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    variables = {**os.environ, **stage.environment(home), **environment}
    return subprocess.Popen(
        scene.command(stage, home),
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _to_its_end(scene: Scene, stage: Stage, home: Path, environment: dict[str, str]) -> str:
    """Run a scene to its end, which must be a good one, and return what it says."""
    app = _begun(scene, stage, home, environment)
    out, error = _ended(app)
    _must_be_a_sentence(error, app.returncode, failed=False)
    return out


def _ended(app: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return app.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        app.kill()
        _, error = app.communicate()
        raise Trouble("deaths", f"did not end within {_PATIENCE:.0f} s: {error[-300:]!r}") from None


def _must_be_a_sentence(error: str, code: int, *, failed: bool) -> None:
    if "Traceback" in error or code < 0:
        raise Trouble("deaths", f"ended with {code}: {error[-600:]!r}")
    if not failed and code:
        raise Trouble("lost", f"could not be done again (exit code {code}): {error[-300:]!r}")
    if failed and code not in (0, 1):  # 0 where it had its answer by then
        raise Trouble("deaths", f"a killed child is exit code {code}: {error[-300:]!r}")


def _known(home: Path, scene: Scene) -> Known:
    chunks, created = _stored(home / "data" / "results.sqlite3")
    outputs = {name: (home / name).read_bytes() for name in scene.outputs if (home / name).exists()}
    skipped = {home / "logs", home / "state", home / "data", home / "cache" / "pool" / "locks"}
    files = {
        str(path.relative_to(home))
        for path in home.rglob("*")
        if not skipped & set(path.parents) and not path.is_dir() and ".lock" not in path.name
    }
    left = {path.name for path in home.rglob("*.part")}
    return Known(chunks, created, outputs, frozenset(files | left))


def _stored(database: Path) -> tuple[dict[Chunk, tuple[bytes, ...]], dict[Chunk, str]]:
    if not database.exists():
        return {}, {}
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection:
        try:
            rows = connection.execute(
                "SELECT corpus_digest, tensors_digest, chunk, created, nll, kld, same_top FROM chunks"
            ).fetchall()
        except sqlite3.OperationalError:  # killed before there was a table
            return {}, {}
    return {tuple(row[:3]): tuple(row[4:]) for row in rows}, {tuple(row[:3]): row[3] for row in rows}
