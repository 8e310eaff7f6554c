"""Fetching in a process of its own, as the child does it: the library reads its environment once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_PROGRAM = """
import json, sys
from lqtui.hub.download import fetch_file
from lqtui.hub.errors import HubError
from lqtui.hub.wikitext import wikitext_2_test
steps, found, problem = [], "", ""
try:
    if len(sys.argv) > 1:
        found = str(fetch_file(*sys.argv[1:], lambda *step: steps.append(step)))
    else:
        found = wikitext_2_test(lambda *step: steps.append(step)).decode()
except HubError as error:
    problem = str(error)
print(json.dumps([found, problem, steps]))
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


def fetch(repository: str, name: str, *, first: str = "") -> Fetched:
    """Fetch one file of a model repository; the program `first` runs before that in the same process."""
    return _run(first + _PROGRAM, repository, name)


def fetch_wikitext() -> Fetched:
    """Fetch the test set of WikiText-2."""
    return _run(_PROGRAM)


def _run(program: str, *arguments: str) -> Fetched:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    fetched = Fetched(*json.loads(done.stdout))
    assert "\n" not in fetched.problem and not fetched.problem.endswith(".")
    return fetched
