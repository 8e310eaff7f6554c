"""Somebody who presses keys without reading: the real app on the demo model, with jobs that really run.

Run: python tests/tui/monkey.py [--keys 10000] [--seed 1]

Everything happens in a folder of its own. What is written anywhere else, an exception, a key after which the
app answers no more, or a history of recipes that does not follow from the one before ends it, with the last
keys. At the end the screens that were seen are told.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

from textual import events
from textual.app import App
from textual.keys import _character_to_key
from textual.message_pump import MessagePump
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from lqtui.recipe.recipe import resolve
from lqtui.store.paths import Paths
from lqtui.tui.app import LqtuiApp
from lqtui.tui.keys.commands import COMMANDS
from lqtui.workbench import JobState, Settings, Workbench
from lqtui.workbench.demo import demo_model

QUICK = Settings(n_ctx=128, chunks=2, threads=1, repetitions=2, n_prompt=16, n_gen=4)
LIFE = 500
"""So many keys are pressed before the monkey leaves, and begins anew where it was."""
SIZES = ((120, 36), (80, 24), (200, 50), (60, 18), (104, 30), (40, 10), (120, 20), (300, 80))
ANSWER_SECONDS = 30.0
TYPED = "abcq019-_. "
"""What goes into text fields: nothing that leads to another folder."""
ANYWHERE = ("escape", "enter", "tab", "shift+tab", "up", "down", "left", "right", "space", "pagedown", "home")
LEAVING = {"q", "ctrl+q", "ctrl+c", "ctrl+z"}
_WRITING = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.symlink", "os.link"}


class Monkey:
    """Deals keys: each of those that do something on a screen comes as often as any other."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._decks: dict[str, list[str]] = {}
        self._patience = 0

    def key(self, screen: Screen[object]) -> str:
        """The next key for a screen."""
        main = screen is screen.app.screen_stack[0]
        self._patience = 12 if main else self._patience - 1
        if self._patience < 0:
            return "escape"
        if isinstance(screen.focused, Input) and self.random.random() < 0.4:
            return self.random.choice(TYPED)
        deck = self._decks.setdefault(type(screen).__name__, [])
        if not deck:
            keys = {binding.key for _, binding, *_ in screen.active_bindings.values()}
            if main:
                keys |= {key.strip() for command in COMMANDS for key in command.keys.split(",")}
            deck += sorted((keys | set(ANYWHERE)) - LEAVING)
            self.random.shuffle(deck)
        return deck.pop()


class Trail:
    """What the history of recipes has been, against which each next one is held."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._seen = self._now()

    def _now(self) -> tuple[object, dict[str, str], str, list[tuple[str, object]], int]:
        bench = self._bench
        slots = {slot.letter: slot.plan.digest for slot in bench.slots}
        active = bench.slots[bench.active_slot].letter if slots else ""
        steps = [(step.label, step.now.weights) for step in bench.history]
        return bench.model and bench.model.path, slots, active, steps, bench.history_position

    def follow(self) -> None:
        """The present state follows from the one before, and is consistent in itself."""
        bench, before = self._bench, self._seen
        model, slots, active, steps, position = self._seen = self._now()
        if bench.plan is None:
            return
        assert bench.history[position].now.recipe == bench.plan.recipe
        assert bench.undo_label == (steps[position][0] if position else None)
        assert bench.redo_label == (steps[position + 1][0] if position + 1 < len(steps) else None)
        assert slots[active] == bench.plan.digest
        if (model, active) != (before[0], before[2]):
            return  # another model or another slot, whose history is its own
        if {k: d for k, d in slots.items() if k != active} != {
            k: d for k, d in before[1].items() if k != active
        }:
            return  # a slot was closed, or edited by a job that had been asked for in it
        if steps != before[3]:
            kept = before[3][: before[4] + 1]
            assert len(steps) > len(kept), (before[3], before[4], steps)
            assert steps[: len(kept)] == kept

    def replay(self) -> None:
        """Every recipe of every slot is there again when all is undone and made again."""
        bench = self._bench
        for index in range(len(bench.slots)):
            bench.switch_slot(index)
            assert bench.plan is not None and bench.model is not None
            there = [step.now.weights[0] for step in bench.history]
            back = [bench.plan.digest]
            while bench.undo() is not None:
                back.append(bench.plan.digest)
            forth = [bench.plan.digest]
            while bench.redo() is not None:
                assert resolve(bench.model.shape, bench.plan.recipe).digest == bench.plan.digest
                forth.append(bench.plan.digest)
            assert back == there[: len(back)][::-1] and forth == there


@contextlib.contextmanager
def writing_only_in(*folders: Path) -> Iterator[list[str]]:
    """Everything that this process writes elsewhere in the meantime."""
    found: list[str] = []
    roots = tuple(f"{folder.resolve()}{os.sep}" for folder in folders)

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if not listening or event not in _WRITING | {"open"}:
            return
        if event == "open" and not (
            isinstance(flags := arguments[2], int) and flags & (os.O_WRONLY | os.O_RDWR)
        ):
            return
        if not isinstance(path := arguments[0], str | bytes | os.PathLike):
            return
        whole = os.path.realpath(os.fsdecode(path))
        if (
            not f"{whole}{os.sep}".startswith(roots)
            and not whole.startswith("/dev/")
            and "__pycache__" not in whole
        ):
            found.append(f"{event} {whole}")

    listening = True
    sys.addaudithook(hear)
    try:
        yield found
    finally:
        listening = False


async def rampage(keys: int, seed: int, report: bool = False) -> Counter[str]:
    """Press so many keys in the app on the demo model; how many went to each screen."""
    monkey, seen = Monkey(seed), Counter[str]()
    pressed: deque[str] = deque(maxlen=40)
    while seen.total() < keys:
        bench = Workbench(Paths.from_environment(), QUICK)
        app = LqtuiApp(bench, demo_model(), read_meters=None)
        try:
            async with app.run_test(size=SIZES[0], notifications=True) as pilot:
                await _opened(app, bench)
                await _live(monkey, app, pilot, min(LIFE, keys - seen.total()), seen, pressed)
                if app.is_running:
                    Trail(bench).replay()
        except BaseException:
            print("the last keys:", *pressed, file=sys.stderr)
            raise
        if report:
            print(f"{seen.total()} keys", file=sys.stderr)
    return seen


async def _live(
    monkey: Monkey, app: LqtuiApp, pilot: Pilot[None], keys: int, seen: Counter[str], pressed: deque[str]
) -> None:
    trail = Trail(app.workbench)
    for count in range(keys):
        if not app.is_running or app._exit:
            return
        if count % 100 == 99:
            await pilot.resize_terminal(*monkey.random.choice(SIZES))
        if count % 50 == 25:
            width, height = app.size
            await pilot.click(offset=(monkey.random.randrange(width), monkey.random.randrange(height)))
            pressed.append("click")
        screen = app.screen
        seen[type(screen).__name__] += 1
        key = monkey.key(screen)
        pressed.append(f"{type(screen).__name__}:{key}")
        app._driver.send_message(_event(key))  # type: ignore[union-attr]
        await _answered(app)
        trail.follow()
        waiting = [job for job in app.workbench.jobs if job.state is JobState.QUEUED]
        if len(waiting) > 2:
            app.workbench.cancel(monkey.random.choice(waiting).id)


def _event(key: str) -> events.Key:
    return events.Key(_character_to_key(key), key) if len(key) == 1 else events.Key(key, None)


async def _opened(app: LqtuiApp, bench: Workbench) -> None:
    async with asyncio.timeout(ANSWER_SECONDS):
        while bench.model is None:
            await asyncio.sleep(0.02)


async def _answered(app: App[None]) -> None:
    """Wait until app, screen and focus have dealt with all that came before."""
    for node in (app, app.screen, app.screen.focused, app.screen, app):
        if node is not None and app.is_running:
            await _passed(node)


async def _passed(node: MessagePump) -> None:
    done = asyncio.Event()
    if node.is_running and node.call_later(done.set):
        waits = asyncio.create_task(done.wait())
        until = asyncio.get_running_loop().time() + ANSWER_SECONDS
        while not done.is_set() and node.is_running:
            await asyncio.wait([waits], timeout=0.05)
            if asyncio.get_running_loop().time() > until:
                raise TimeoutError(f"{node} did not answer within {ANSWER_SECONDS} s")
        waits.cancel()


def main() -> None:
    """Run as much as is asked for, in a folder of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ.update(
            LQTUI_HOME=f"{folder}/lqtui", HOME=folder, HF_HOME=f"{folder}/hub", HF_HUB_OFFLINE="1"
        )
        os.chdir(home)
        with writing_only_in(home) as elsewhere:
            seen = asyncio.run(rampage(asked.keys, asked.seed, report=True))
    print(
        f"{seen.total()} keys on {len(seen)} screens:", ", ".join(f"{n} {c}" for n, c in seen.most_common())
    )
    if elsewhere:
        raise SystemExit(f"written elsewhere: {elsewhere}")


if __name__ == "__main__":
    main()
