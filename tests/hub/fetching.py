"""Fetching in a process of its own, as the child does it: the library reads its environment once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

_PROGRAM = """
import json, sys
from lqtui.hub.download import fetch_file
from lqtui.hub.errors import HubError
from lqtui.hub.wikitext import wikitext_2_test
steps, found, problem = [], "", ""
def told(stage, *step):
    if stage == "downloading":
        steps.append(step)
try:
    if len(sys.argv) > 1:
        found = str(fetch_file(*sys.argv[1:3], told, commit=sys.argv[3]))
    else:
        found = wikitext_2_test(told).decode()
except HubError as error:
    problem = str(error)
print(json.dumps([found, problem, steps]))
"""

_ASKING = """
import importlib, sys
import msgspec
from lqtui.hub.errors import HubError
module, function, *arguments = sys.argv[1:]
try:
    answer = getattr(importlib.import_module(module), function)(*arguments)
except HubError as error:
    answer = {"problem": str(error)}
print(msgspec.json.encode(answer, enc_hook=str).decode())
"""


class Fetched(NamedTuple):
    """What came of fetching: a path, or WikiText's text, or else a sentence; and the steps of progress."""

    found: str
    problem: str
    steps: list[list[int]]

    @property
    def path(self) -> Path:
        assert self.found, self.problem
        return Path(self.found)


def fetch(repository: str, name: str, *, first: str = "", commit: str = "") -> Fetched:
    """Fetch one file of a model repository; the program `first` runs before that in the same process."""
    return _run(first + _PROGRAM, repository, name, commit)


def ask(module: str, function: str, *arguments: str, first: str = "") -> Any:
    """What a function of lqtui.hub answers, as the child would send it; or its sentence, as `problem`."""
    return json.loads(_printed(first + _ASKING, f"lqtui.hub.{module}", function, *arguments))


def fetch_wikitext() -> Fetched:
    """Fetch the test set of WikiText-2."""
    return _run(_PROGRAM)


def _run(program: str, *arguments: str) -> Fetched:
    fetched = Fetched(*json.loads(_printed(program, *arguments)))
    assert "\n" not in fetched.problem and not fetched.problem.endswith(".")
    return fetched


def _printed(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
