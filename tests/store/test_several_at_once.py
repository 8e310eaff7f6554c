"""Several lqtui at once: pool, results and sessions of real processes stay whole, whatever their order."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from lqtui.store.paths import Paths
from lqtui.store.results import ResultStore

_SESSIONS = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from lqtui.recipe.types import TensorType
from lqtui.store.paths import Paths
from lqtui.workbench import Workbench
from lqtui.workbench.session import Look, Sessions, View

async def main(model, number):
    paths = Paths.from_environment()
    sessions = Sessions(paths)
    bench = Workbench(paths, sessions.last().settings)
    bench.sessions = sessions
    await bench.open(Path(model), fingerprint=False)
    print(len(bench.take_notices()), flush=True)
    sys.stdin.readline()  # until all of them run
    for turn in range(40):
        kind = TensorType.Q4_0 if turn % 2 else TensorType.Q8_0
        bench.assign([f"blk.{number}.attn_q.weight"], kind, "an edit")
        bench.configure(replace(bench.settings, chunks=number + 1))
        bench.remember(View(row=turn), Look(theme=f"theme-{number}"))
        await asyncio.sleep(0)
    bench.rename(f"of-{number}")
    await bench.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_each_of_several_on_one_model_keeps_its_own_session_and_none_is_torn(
    paths: Paths, tiny_model: Path
) -> None:
    running = [started(_SESSIONS, tiny_model, number) for number in range(3)]
    told = [process.stdout.readline().strip() for process in running]
    assert Counter(told) == {"0": 1, "1": 2}  # all but one are told that another is there
    for process in running:
        _, errors = process.communicate("go\n", timeout=60)
        assert process.returncode == 0, errors
    folder = paths.state / "sessions"
    kept = [json.loads(path.read_text()) for path in folder.glob("tiny-*.json")]
    assert {session["slots"][0]["recipe"]["name"] for session in kept} == {"of-0", "of-1", "of-2"}
    app = json.loads((folder / "app.json").read_text())
    last = app["settings"]["chunks"] - 1
    assert last in range(3) and app["look"]["theme"] == f"theme-{last}"  # of one of them, not of two
    assert not [path for path in folder.iterdir() if path.suffix == ".part"]


def test_a_session_that_is_killed_in_the_middle_of_writing_is_whole_and_free(
    paths: Paths, tiny_model: Path
) -> None:
    endless = _SESSIONS.replace("range(40)", "range(1_000_000)")
    for _ in range(3):
        process = started(endless, tiny_model, 1)
        assert process.stdout.readline().strip() == "0"  # the one before it holds nothing any more
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(0.4)
        process.kill()
        process.wait()
        for path in (paths.state / "sessions").glob("*.json"):
            assert json.loads(path.read_text())["version"] == 1
    again = started(_SESSIONS, tiny_model, 2)
    assert again.stdout.readline().strip() == "0"
    again.communicate("go\n", timeout=60)
    assert again.returncode == 0
    (kept,) = (paths.state / "sessions").glob("tiny-*.json")
    overrides = json.loads(kept.read_text())["slots"][0]["recipe"]
    assert overrides["name"] == "of-2"


def test_measuring_one_model_from_several_processes_gives_each_the_same_numbers(
    paths: Paths, demo_model: Path, english: Path
) -> None:
    options = ["--corpus", english, "--chunks", "2", "--ctx", "64", "--threads", "1", "--json"]
    presets = [["--preset", name] for name in ("attention_q8", "ffn_q8", "attention_q8")]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "lqtui", "measure", str(demo_model), *preset, *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for preset in presets
    ]
    found: dict[str, list[float]] = {}
    for process in running:
        said, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        for row in json.loads(said)["results"]:
            found.setdefault(row["name"], []).append(row["perplexity"])
    assert set(found) >= {"attention_q8", "ffn_q8"} and len(found["attention_q8"]) == 2
    assert all(len(set(values)) == 1 for values in found.values()), found
    again = subprocess.run(
        [sys.executable, "-m", "lqtui", "measure", str(demo_model), *presets[0], *map(str, options)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(again.stdout)["results"][0]["perplexity"] == found["attention_q8"][0]
    assert ": scoring" not in again.stderr  # the database of all three has it
    ResultStore(paths.results_db).close()
    pool = [path for path in paths.pool.rglob("*") if path.is_file()]
    assert pool and not [path for path in pool if path.suffix == ".part"]


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """Each process finds the test's own home."""
