"""The long campaign: `python -m tests.campaign [PART ...] [--count N] [--seed S] [--only N] [--work DIR]`.

A part is a module of this package with `DEFAULT`, the long campaign's count, and
`run(count, seed, work, tell, only=None) -> Row`, which with `only` repeats the input of that number alone.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [
    str(Path(__file__).parents[1]),
    str(Path(__file__).parents[1] / "tui"),
]  # as pytest's pythonpath

from tests.campaign.row import HEADING, Row  # noqa: E402 - finds what the tests share

PARTS = ("files", "texts", "kills", "faults", "names", "hub", "soak")


def main() -> int:
    """Run the parts asked for, tell how they go on stderr, and print the table; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (all of them)")
    parser.add_argument("--count", type=int, help="inputs of each part, instead of its long count")
    parser.add_argument("--seed", type=int, default=1, help="what the inputs are made from (1)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="repeat the one input of this number")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keeps inputs that failed (a new folder)")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.parts) - set(PARTS)):
        parser.error(f"no part {', '.join(unknown)}: it is one of {', '.join(PARTS)}")
    work = asked.work or Path(tempfile.mkdtemp(prefix="lqtui-campaign-"))
    rows = [_run(part, asked, work) for part in asked.parts or PARTS]
    print(HEADING)
    for row in rows:
        print(row.markdown())
    for row in rows:
        for line in row.details:
            print(f"{row.part}: {line}", file=sys.stderr)
    return 0 if all(row.clean for row in rows) else 1


def _run(part: str, asked: argparse.Namespace, work: Path) -> Row:
    module = importlib.import_module(f"tests.campaign.{part}")
    folder = work / part
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if asked.only is None:
        chosen = {}
    elif "only" in inspect.signature(module.run).parameters:
        chosen = {"only": asked.only}
    else:
        raise SystemExit(f"{part} repeats no single input: run it with --count {asked.only + 1}")
    row: Row = module.run(asked.count or module.DEFAULT, asked.seed, folder, _tell, **chosen)
    _tell(f"{part}: {time.monotonic() - started:.0f} s, seed {asked.seed}, inputs that failed under {folder}")
    return row


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
