"""Faults around lqtui: disks that fill, folders that vanish, clocks that jump, limits, signals, GPUs that go.

Each input is one command on a small model, with one fault injected. It may fail with a sentence. After it
nothing that was measured before is lost, nothing is half-written and no process is left; the next start of
the command gives what an undisturbed one gives, bit for bit.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.campaign.fault_app import app_fault
from tests.campaign.fault_gpus import gpu_faults
from tests.campaign.fault_kinds import KINDS, Injection
from tests.campaign.fault_lane import COMMANDS, Ended, Lane, Reference, left_running, run_lqtui
from tests.campaign.row import Row

DEFAULT = 504
_PATIENCE = 60.0
_COMMANDS_AN_APP = 40
"""So many commands for each time that the app is run, which takes longer."""
_MUST_SAY = "lqtui: "
_SHIM = Path(__file__).with_name("failing.c")


def run(count: int, seed: int, work: Path, tell: Callable[[str], None], only: int | None = None) -> Row:
    """Inject `count` faults, one for each command, and every error of NVML; see `row.Row`."""
    deaths: list[str] = []
    lost: list[str] = []
    kinds: Counter[str] = Counter()
    refused = 0
    with tempfile.TemporaryDirectory(prefix="lqtui-faults-") as folder:
        shim = _built(Path(folder))
        numbers = range(count) if only is None else [only]
        commands = {number: list(COMMANDS)[number // len(KINDS) % len(COMMANDS)] for number in numbers}
        reference = Reference.made(Path(folder), sorted(set(commands.values())))
        for number, command in commands.items():
            rng = random.Random(f"{seed}:{number}")
            kind = list(KINDS)[number % len(KINDS)]
            lane = reference.lane(Path(folder) / f"{number}", command)
            kinds[kind] += 1
            died, gone, code = one(lane, reference, KINDS[kind](rng, lane, shim))
            refused += bool(code)
            for found, all_of_them in ((died, deaths), (gone, lost)):
                all_of_them += [
                    f"--seed {seed} --only {number} ({kind}, {command}): {each}" for each in found
                ]
            if died or gone:
                _keep(lane.folder, work / f"{number}")
                tell("\n".join([*died, *gone]))
            shutil.rmtree(lane.folder, ignore_errors=True)
            if number % 20 == 19:
                tell(f"faults: {number + 1} of {count}")
        n_apps = 0 if shim is None or only is not None else count // _COMMANDS_AN_APP
        for number in range(n_apps):
            assert shim is not None
            found = app_fault(Path(folder), seed, number, shim)
            deaths += [f"--seed {seed}, the app, {number}: {each}" for each in found]
            tell(f"faults: app {number + 1} of {n_apps}")
    n_gpus, gpu_deaths = gpu_faults() if only is None else (0, [])
    said = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    return Row(
        "faults",
        f"{kinds.total()} commands, {refused} of which could not be done ({said}); "
        f"{n_apps} times the app; {n_gpus} errors of NVML",
        kinds.total() + n_apps + n_gpus,
        lost=len(lost),
        deaths=len(deaths) + len(gpu_deaths),
        details=(*deaths, *lost, *gpu_deaths),
    )


def one(lane: Lane, reference: Reference, injection: Injection) -> tuple[list[str], list[str], int | None]:
    """Inject one fault: how lqtui died of it, what was lost by it, and the code that it ended with."""
    with contextlib.ExitStack() as stack:
        injection.begin(stack)
        ended = run_lqtui(lane, injection, _PATIENCE)
        deaths = _deaths(ended, injection)
        deaths += [f"left process {pid} running" for pid in left_running(lane, 5.0)]
        lost = _half_written(lane, reference)
    if ended.code == 0 and injection.tells and ended.stdout != reference.stdout[lane.command]:
        lost.append(f"exits with 0, but prints {ended.stdout[-300:]!r}")
    lost += [] if injection.changes_results else _lost_rows(lane, reference)
    after = run_lqtui(lane, Injection(), _PATIENCE)
    if after.code != 0:
        deaths.append(f"the next start ends with {after.code}: {after.stderr[-300:]}")
    elif after.stdout != reference.stdout[lane.command]:
        lost.append(f"the next start prints {after.stdout[-300:]!r}")
    lost += _half_written(lane, reference, must_be=True)
    lost += [f"left {path.relative_to(lane.folder)}" for path in lane.folder.rglob(".*.part")]
    return deaths, lost, ended.code


def _deaths(ended: Ended, injection: Injection) -> list[str]:
    said = ended.stderr + ended.stdout
    if ended.code is None:
        return [f"hung: {said[-300:]}"]
    found = []
    for sign in (
        "Traceback (most",
        "Exception ignored",
        "Fatal Python",
        "a defect in lqtui",
        "defect of its",
    ):
        if sign in said:
            found.append(f"{sign}: {said[-600:]}")
    if ended.code < 0 and -ended.code not in injection.may_end_by:
        found.append(f"ended by signal {-ended.code}: {said[-300:]}")
    is_signal = ended.code - 128 in injection.may_end_by  # that early, nothing is there yet to be told of
    if ended.code > 0 and injection.tells and not is_signal and not _is_told(ended):
        found.append(f"ended with {ended.code} and no sentence: {said[-300:]!r}")
    return found


def _is_told(ended: Ended) -> bool:
    lines = ended.stderr.strip().splitlines()
    return bool(lines) and (lines[-1].startswith(_MUST_SAY) or lines[-1] == "Aborted!")


def _half_written(lane: Lane, reference: Reference, *, must_be: bool = False) -> list[str]:
    """The file that the command writes is the right one, or not there."""
    expected = reference.out[lane.command]
    found = lane.out_digest()
    if found == expected or (found is None and not must_be):
        return []
    return [f"{lane.out.name} is not as it should be ({found})"]


def _lost_rows(lane: Lane, reference: Reference) -> list[str]:
    found = lane.rows()
    if isinstance(found, str):
        return [f"the results: {found}"]
    gone = reference.rows - found
    return [f"{len(gone)} of {len(reference.rows)} rows of results are lost"] if gone else []


def _keep(lane: Path, kept: Path) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(lane, kept, symlinks=True)


def _built(work: Path) -> Path | None:
    """The shim between a process and the C library; None where it cannot be built."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    out = work / "failing.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(out), str(_SHIM), "-ldl"]
    done = subprocess.run(command, capture_output=True, check=False)
    return out if done.returncode == 0 else None
