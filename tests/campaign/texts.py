"""Hostile texts and damaged stores: recipes, settings, corpora, checkpoints, all that lqtui keeps.

Each is read as a person would have it read, and then measured with where something is kept: what is told is
what an undamaged store tells, or one sentence.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import struct
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gguf_files import tiny_text, write_tiny_llama

from tests.campaign.row import Row
from tests.campaign.text_mutations import damaged_bytes, damaged_database, hostile_text, replaced_by_no_file
from tests.campaign.watched import Seen, Watched

DEFAULT = 4000
_MOST_BYTES = 700 << 20
_QUICK = ("--ctx", "64", "--chunks", "2", "--threads", "1", "--kld", "--json")
_NO_FILE = 0.08
"""The share of texts in whose place there is something that is no file."""
_SELF = "tests.campaign.texts"

_SETTINGS = """theme = "textual-light"
ascii = true
notifications = "never"
tour = false

[keys]
"type.q4" = "f6"
type.q8 = "f7,f8"
"""
_STATE = ("sessions", "unfinished", "paces.json")


@dataclass(frozen=True)
class _Given:
    """What all inputs are made from: a model, a text, a home in which it was measured, and what that told."""

    work: Path
    model: Path
    text: Path
    home: Path
    told: dict[str, float]
    recipes: dict[str, str]


@dataclass
class _Found:
    """What went wrong so far, and what was tried."""

    tried: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    deaths: int = 0
    leaks: int = 0
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Made:
    """One input: its kind, what was made of it, how it is read, and the file or folder that holds it."""

    kind: str
    what: str
    call: Callable[[Watched], Seen]
    path: Path
    measures: bool = False


def run(count: int, seed: int, work: Path, tell: Callable[[str], None], only: int | None = None) -> Row:
    """Try so many inputs, or the one of a number."""
    own = work / "own"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    found = _Found()
    with Watched(own, memory=4 << 30) as watched:
        given = _given(own, watched)
        for number in range(count) if only is None else (only,):
            _try(number, seed, given, watched, work, found)
            if number % 200 == 199:
                told = f"{found.lost} lost, {found.deaths} deaths, {found.leaks} leaks"
                tell(f"texts: {number + 1:,} of {count:,}, {told}")
    shutil.rmtree(own)
    tried = ", ".join(f"{n:,} {kind}" for kind, n in found.tried.items())
    n = found.tried.total()
    return Row("texts", tried, n, found.lost, found.deaths, found.leaks, tuple(found.details))


def _given(own: Path, watched: Watched) -> _Given:
    model, text = write_tiny_llama(own / "model.gguf", blocks=2), own / "text.txt"
    text.write_text(tiny_text(words=2000))
    seen = watched.lqtui("measure", model, "--preset", "Q4_0", "--corpus", text, *_QUICK)
    assert seen.code == 0, seen.stderr
    left = watched.call(f"{_SELF}:leave", str(model), str(text))
    assert left.code == 0, left.stderr
    recipes = {}
    for name in ("r.toml", "r.json", "r.txt", "r.sh"):
        out = own / name
        exported = watched.lqtui("export", model, "--preset", "attention_q8", "-o", out)
        assert exported.code == 0, exported.stderr
        recipes[name] = out.read_text()
    home = own / "kept-home"
    shutil.copytree(watched.home, home, symlinks=True)
    return _Given(own, model, text, home, _numbers(seen), recipes)


def _try(number: int, seed: int, given: _Given, watched: Watched, work: Path, found: _Found) -> None:
    dice = random.Random(f"texts {seed} {number}")
    shutil.rmtree(watched.home, ignore_errors=True)
    shutil.copytree(given.home, watched.home, symlinks=True)
    folder = given.work / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    made = _KINDS[number % len(_KINDS)](dice, given, folder, watched.home)
    found.tried[made.kind] += 1
    seen = made.call(watched)
    deaths, leaks = list(seen.deaths), seen.leaks
    if seen.peak_bytes > _MOST_BYTES:
        deaths.append(f"took {seen.peak_bytes >> 20} MiB")
    is_lost = made.measures and seen.code == 0 and _numbers(seen) != given.told
    found.deaths, found.leaks, found.lost = (
        found.deaths + bool(deaths),
        found.leaks + bool(leaks),
        found.lost + is_lost,
    )
    if deaths or leaks or is_lost:
        wrong = [*deaths, *leaks, *(["told other numbers"] if is_lost else [])]
        found.details.append(f"--seed {seed} --only {number}: {made.kind}, {made.what}: {'; '.join(wrong)}")
        kept = work / "failed" / str(number)
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        if made.path.is_file() and made.path.stat().st_size < 16 << 20:
            shutil.copyfile(made.path, kept / made.path.name)
        elif made.path.is_dir():
            shutil.copytree(made.path, kept / made.path.name, symlinks=True, dirs_exist_ok=True)


def _numbers(seen: Seen) -> dict[str, float]:
    """What a measurement told that does not depend on the time it took."""
    if seen.code != 0:
        return {}
    (result,) = json.loads(seen.stdout)["results"]
    names = (
        "perplexity",
        "perplexity_se",
        "delta_nll",
        "kld",
        "kld_p99",
        "top1_agreement",
        "rms_dp",
        "chunks",
    )
    return {name: result[name] for name in names}


# Texts


def _written(path: Path, text: str, dice: random.Random) -> str:
    """Write a hostile text, or something that is no file; returns what that was."""
    if dice.random() < _NO_FILE:
        return replaced_by_no_file(path, dice)
    path.write_bytes(hostile_text(text, dice))
    return path.name


def _recipe(dice: random.Random, given: _Given, folder: Path, home: Path) -> _Made:
    name = dice.choice(list(given.recipes))
    path = folder / name
    what = _written(path, given.recipes[name], dice)
    arguments = dice.choice((("plan",), ("export", "--format", "toml"), ("plan", "--json")))
    return _Made("recipes", what, lambda w: w.lqtui(*arguments, given.model, "--recipe", path), path)


def _settings(dice: random.Random, given: _Given, folder: Path, home: Path) -> _Made:
    path = home / "config" / "settings.toml"
    path.parent.mkdir()
    what = _written(path, _SETTINGS, dice)
    arguments = dice.choice((("--json",), ()))
    return _Made("settings", what, lambda w: w.lqtui("settings", *arguments), path)


def _corpus(dice: random.Random, given: _Given, folder: Path, home: Path) -> _Made:
    path = folder / "corpus.txt"
    what = _written(path, given.text.read_text(), dice)
    return _Made(
        "corpora",
        what,
        lambda w: w.lqtui("measure", given.model, "--preset", "Q4_0", "--corpus", path, *_QUICK),
        path,
    )


def _checkpoint(dice: random.Random, given: _Given, folder: Path, home: Path) -> _Made:
    header = json.dumps({"a.weight": {"dtype": "F16", "shape": [4, 4], "data_offsets": [0, 32]}})
    path = dice.choice(
        (folder / "config.json", folder / "model.safetensors", folder / "model.safetensors.index.json")
    )
    texts = {
        "config.json": '{"architectures": ["LlamaForCausalLM"], "auto_map": {"AutoModel": "x.Y"}}',
        "model.safetensors.index.json": '{"weight_map": {"a.weight": "model.safetensors"}}',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(32))
    if path.suffix == ".json":
        what = _written(path, texts[path.name], dice)
    elif dice.random() < 0.5:
        raw = hostile_text(header, dice)
        length = len(raw) if dice.random() < 0.9 else dice.choice((0, 1, 2**63, 2**64 - 1, 100 << 20))
        path.write_bytes(struct.pack("<Q", length) + raw + bytes(32))
        what = "header"
    else:
        path.write_bytes(damaged_bytes(path.read_bytes(), dice))
        what = "bytes"
    return _Made(
        "checkpoints", f"{path.name}: {what}", lambda w: w.call(f"{_SELF}:look_at", str(folder)), folder
    )


def look_at(folder: str) -> None:
    """Read a checkpoint as the conversion does before anything is converted."""
    from lqtui.cli import output
    from lqtui.store.checkpoint import read_checkpoint
    from lqtui.store.errors import StoreError

    try:
        print(output.shown(repr(read_checkpoint(Path(folder)))))
    except StoreError as error:
        output.fail(str(error))


# What is kept


def _measured(given: _Given, *more: str) -> Callable[[Watched], Seen]:
    arguments = ("measure", given.model, "--preset", "Q4_0", "--corpus", given.text, *_QUICK, *more)
    return lambda watched: watched.lqtui(*arguments)


def _database(dice: random.Random, given: _Given, folder: Path, home: Path) -> _Made:
    path = home / "data" / "results.sqlite3"
    what = damaged_database(path, dice)
    return _Made("databases", what, _measured(given), path, measures=True)


def _pool(dice: random.Random, given: _Given, folder: Path, home: Path) -> _Made:
    """A file of the cache, damaged, in another's place, or no file; all of it is used by the measurement."""
    files = sorted(path for path in (home / "cache").rglob("*") if path.is_file())
    path = dice.choice(files)
    if path.suffix != ".states" and dice.random() < 0.2:
        path = dice.choice([path for path in files if path.suffix in (".states", ".json")] or files)
    if dice.random() < 0.15:
        what = replaced_by_no_file(path, dice)
    elif dice.random() < 0.2:
        other = dice.choice(files)
        what = f"that of {other.name}"
        path.write_bytes(other.read_bytes())
    elif dice.random() < 0.1:
        what = "its folder is a link"
        (given.work / "input" / "elsewhere").mkdir()
        shutil.rmtree(path.parent)
        path.parent.symlink_to(given.work / "input" / "elsewhere")
    else:
        what = "bytes"
        path.write_bytes(damaged_bytes(path.read_bytes(), dice))
    (home / "data" / "results.sqlite3").unlink()
    return _Made("cached files", f"{path.name}: {what}", _measured(given), path, measures=True)


def _listing(dice: random.Random, given: _Given, folder: Path, home: Path) -> _Made:
    made = _pool(dice, given, folder, home)
    arguments = dice.choice((("cache",), ("cache", "--prune"), ("cache", "--json")))
    return _Made("cached files", f"{made.what}, {arguments}", lambda w: w.lqtui(*arguments), made.path)


def _state(dice: random.Random, given: _Given, folder: Path, home: Path) -> _Made:
    files = sorted(path for path in (home / "state").rglob("*.json"))
    path = dice.choice(files)
    if dice.random() < _NO_FILE:
        what = replaced_by_no_file(path, dice)
    else:
        what = "text"
        text = path.read_text()
        if dice.random() < 0.6:
            text, what = _other_number(text, dice), "a number"
        path.write_bytes(text.encode() if what == "a number" else hostile_text(text, dice))
    return _Made(
        "states",
        f"{path.relative_to(home)}: {what}",
        lambda w: w.call(f"{_SELF}:go_on", str(given.model)),
        path,
    )


def _other_number(text: str, dice: random.Random) -> str:
    """A state with one value of its own kind that nobody meant: JSON is right, and so are the types."""
    document = json.loads(text)
    places: list[tuple[dict[str, object] | list[object], str | int]] = []

    def look(at: dict[str, object] | list[object]) -> None:
        for key, value in at.items() if isinstance(at, dict) else enumerate(at):
            if isinstance(value, dict | list):
                look(value)
            elif key != "version" and key != "model":
                places.append((at, key))  # type: ignore[arg-type]

    look(document)
    if places:
        at, key = dice.choice(places)
        value = at[key]  # type: ignore[index]
        odd: list[object] = ["\0", "", "/nothing/there", "../..", "\x1b[2J", "x" * 3000]
        if isinstance(value, bool):
            odd = [not value]
        elif isinstance(value, int | float):
            odd = [0, -1, 1, 2**31, 2**63 - 1, -(2**63)] + (
                [1e308, -1e308, 5e-324] if isinstance(value, float) else []
            )
        at[key] = dice.choice(odd)  # type: ignore[index]
    return json.dumps(document)


def _app(dice: random.Random, given: _Given, folder: Path, home: Path) -> _Made:
    """The app on a store of which something is damaged."""
    kind = dice.choice((_settings, _state, _state, _database, _pool))
    made = kind(dice, given, folder, home)
    call = lambda w: w.call(f"{_SELF}:open_app", str(given.model))  # noqa: E731
    return _Made("opened in the app", f"{made.kind}: {made.what}", call, made.path)


def leave(model: str, text: str) -> None:
    """Leave a session, and a measurement that was not finished."""
    from lqtui.recipe.presets import preset
    from lqtui.store.paths import Paths
    from lqtui.store.state_file import state_name
    from lqtui.workbench import Settings, Workbench
    from lqtui.workbench.asked import AskedMeasure
    from lqtui.workbench.session import Look, Sessions, View
    from lqtui.workbench.unfinished import Unfinished, save_unfinished

    async def left() -> None:
        paths = Paths.from_environment()
        settings = Settings(corpus=Path(text), n_ctx=64, chunks=2, threads=1)
        bench = Workbench(paths, settings)
        bench.sessions = Sessions(paths)
        await bench.open(Path(model))
        assert bench.model is not None
        recipe = preset("attention_q8", bench.model.shape)
        bench.use(recipe, "chosen")
        bench.new_slot()
        bench.remember(View(row=1, column=1), Look(theme="textual-light", columns=("kld",), layers_width=40))
        path, asked = bench.model.path, AskedMeasure("measure", (recipe,), speed=False)
        file = paths.state / "unfinished" / state_name(path) / "99999999-1.json"
        save_unfinished(file, Unfinished(path, settings, (asked,)))
        await bench.close()

    asyncio.run(left())


def go_on(model: str) -> None:
    """Go on from what was left, as the app does, and with the jobs that were not finished."""
    from lqtui.cli import output
    from lqtui.store.errors import StoreError
    from lqtui.store.paths import Paths
    from lqtui.workbench import Settings, Workbench, WorkbenchError
    from lqtui.workbench.remembering import settings_left
    from lqtui.workbench.session import Sessions

    async def gone_on() -> None:
        paths = Paths.from_environment()
        sessions = Sessions(paths)
        settings, gone = settings_left(sessions.last().settings, Settings(), ("threads",))
        bench = Workbench(paths, settings)
        try:
            bench.sessions = sessions
            bench.remember_jobs()
            await bench.open(Path(model))
            bench.take_left_view()
            refused = bench.decide_on_unfinished(resume=True)
            for sentence in (gone, *bench.take_notices(), *refused):
                print(output.shown(sentence), file=sys.stderr)
            for job in bench.jobs:
                async with asyncio.timeout(10):
                    await bench.wait(job)
        finally:
            await bench.close()

    try:
        asyncio.run(gone_on())
    except (WorkbenchError, StoreError) as error:
        output.fail(str(error))


def open_app(model: str) -> None:
    """Open the app as a person does who left it, look around, and leave."""
    from textual.widgets import Input

    from lqtui.cli import output
    from lqtui.store.paths import Paths
    from lqtui.tui.app import LqtuiApp
    from lqtui.tui.settings import own_settings
    from lqtui.workbench import Settings, Workbench, WorkbenchError
    from lqtui.workbench.remembering import settings_left
    from lqtui.workbench.session import Sessions

    async def opened() -> int:
        paths = Paths.from_environment()
        sessions = Sessions(paths)
        left = sessions.last()
        settings, gone = settings_left(left.settings, Settings(), ())
        bench = Workbench(paths, settings)
        bench.sessions = sessions
        preferences, problems = own_settings(paths.settings_file)
        notices = [*problems, *filter(None, [gone])]
        app = LqtuiApp(bench, Path(model), preferences=preferences, notices=notices, look=left.look)
        async with app.run_test(size=(100, 30)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            for key in ("escape", "down", "4", "right", "tab", "3", "escape", "tab", "down", "escape"):
                if not isinstance(app.focused, Input):
                    await pilot.press(key)
            await pilot.pause()
        return app.return_code or 0

    try:
        code = asyncio.run(opened())
    except WorkbenchError as error:
        output.fail(str(error), 1)
    if code:
        raise AssertionError(f"the app ended with {code}")


_KINDS: tuple[Callable[[random.Random, _Given, Path, Path], _Made], ...] = (
    *(_recipe, _database, _state, _recipe, _pool, _settings, _recipe, _checkpoint, _database, _state),
    *(_recipe, _corpus, _pool, _recipe, _checkpoint, _settings, _recipe, _listing, _state, _app),
)
