"""Hostile model files: GGUF headers and data, shards of splits, importance matrices, quantized files.

Each is read as a person would have it read: planned, inspected, quantized, measured, taken types from, and
opened in the app. A refusal is one sentence; memory and time are bounded; nothing outside is touched.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gguf_files import tiny_text, write_tiny_llama
from imatrices import legacy_imatrix

from lqtui.store.imatrix_file import Sums, write_imatrix
from tests.campaign.gguf_mutations import HUGE, Gguf, any_text, damaged, damaged_bytes, misleading, parsed
from tests.campaign.row import Row
from tests.campaign.watched import Seen, Watched

DEFAULT = 6000
_MOST_BYTES = 700 << 20
"""What a process may have in memory: lqtui itself with the app takes less than 200 MiB."""
_SECONDS = 30.0
_MEMORY = 4 << 30
"""Address space; the files are mapped, and what lqtui has loaded takes some of it."""
_QUICK = ("--ctx", "64", "--chunks", "2", "--threads", "1")

_WAYS_TO_SPLIT = (
    *("missing", "doubled", "of another model", "swapped", "renamed", "damaged", "cut", "linked", "nowhere"),
)

Call = Callable[[Watched], Seen]


@dataclass(frozen=True)
class _Given:
    """What all inputs are made from."""

    folder: Path
    model: Path
    good: Gguf
    parts: dict[str, bytes]
    other_parts: dict[str, bytes]
    quantized: bytes
    matrix: bytes
    legacy: bytes
    text: Path


@dataclass
class _Found:
    """What went wrong so far."""

    deaths: int = 0
    leaks: int = 0
    details: list[str] = field(default_factory=list)
    tried: dict[str, int] = field(default_factory=dict)


def run(count: int, seed: int, work: Path, tell: Callable[[str], None], only: int | None = None) -> Row:
    """Try so many inputs, or the one of a number."""
    inputs, own = work / "inputs", work / "own"
    for folder in (inputs, own):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    found = _Found()
    with Watched(own, reads=[inputs], memory=_MEMORY, seconds=_SECONDS) as watched:
        given = _given(inputs / "good", watched)
        for number in range(count) if only is None else (only,):
            _try(number, seed, given, watched, work, found)
            if number % 200 == 199:
                tell(f"files: {number + 1:,} of {count:,}, {found.deaths} deaths, {found.leaks} leaks")
            for line in found.details[-1:] if only is not None else ():
                tell(line)
    shutil.rmtree(inputs)
    shutil.rmtree(own)
    tried = ", ".join(f"{n:,} {kind}" for kind, n in found.tried.items())
    n = sum(found.tried.values())
    return Row("files", tried, n, deaths=found.deaths, leaks=found.leaks, details=tuple(found.details))


def _given(folder: Path, watched: Watched) -> _Given:
    folder.mkdir()
    sizes = {"blocks": 2, "width": 32, "ffn": 64, "heads": 2, "kv_heads": 1}
    model = write_tiny_llama(folder / "good.gguf", **sizes)  # type: ignore[arg-type]
    parts, others = folder / "parts", folder / "others"
    for each, seed in ((parts, 1), (others, 2)):
        each.mkdir()
        write_tiny_llama(each / "m.gguf", tensors_per_part=7, seed=seed, **sizes)  # type: ignore[arg-type]
    out = watched.work / "q.gguf"
    made = watched.lqtui("quantize", model, out, "--preset", "uniform_q4_0", "--threads", "1")
    assert made.code == 0, made.stderr
    good = parsed(model.read_bytes())
    assert good.written() == model.read_bytes()
    dice = np.random.default_rng(1)
    sums = {
        tensor.name.raw.decode(): Sums(
            dice.random((1, tensor.extents[0]), np.float32) * 50, np.array([100], np.int64)
        )
        for tensor in good.tensors
        if len(tensor.extents) == 2 and tensor.name.raw.startswith(b"blk")
    }
    write_imatrix(folder / "m.imatrix.gguf", sums, ["text"], 2, 64)
    legacy_imatrix(folder / "m.dat", sums)
    text = folder / "text.txt"
    text.write_text(tiny_text(600))
    return _Given(
        folder,
        model,
        good,
        {part.name: part.read_bytes() for part in sorted(parts.iterdir())},
        {part.name: part.read_bytes() for part in sorted(others.iterdir())},
        out.read_bytes(),
        (folder / "m.imatrix.gguf").read_bytes(),
        (folder / "m.dat").read_bytes(),
        text,
    )


def _try(number: int, seed: int, given: _Given, watched: Watched, work: Path, found: _Found) -> None:
    dice = random.Random(f"files {seed} {number}")
    folder = given.folder.with_name(str(number))
    folder.mkdir()
    kind, told, call = _KINDS[number % len(_KINDS)](dice, given, folder)
    found.tried[kind] = found.tried.get(kind, 0) + 1
    seen = call(watched)
    deaths = [*seen.deaths, *_left_behind(watched)]
    if seen.peak_bytes > _MOST_BYTES:
        deaths.append(f"took {seen.peak_bytes >> 20} MiB")
    if deaths or seen.leaks:
        found.deaths += bool(deaths)
        found.leaks += bool(seen.leaks)
        kept = work / "failed" / str(number)
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept, symlinks=True, ignore=_ungainly)
        said = "; ".join((*deaths, *seen.leaks))
        found.details.append(f"--seed {seed} --only {number}: {kind}, {told}: {said}")
    shutil.rmtree(folder)


def _ungainly(folder: str, names: list[str]) -> list[str]:
    """What cannot be copied: pipes, devices, and files that are larger than the disk."""
    found = []
    for name in names:
        path = Path(folder, name)
        if (
            not path.is_symlink()
            and not path.is_dir()
            and (not path.is_file() or path.stat().st_size > 1 << 26)
        ):
            found.append(name)
    return found


def _left_behind(watched: Watched) -> list[str]:
    """What is half-written where a call was to write; what it wrote is removed."""
    halves = [str(path.name) for path in watched.work.rglob("*.part")]
    for path in watched.work.glob("out*"):
        path.unlink()
    return [f"left {halves}"] if halves else []


_Made = tuple[str, str, Call]


def _reading(dice: random.Random, given: _Given, path: Path) -> tuple[str, Call]:
    """A command that looks at a model without making anything of it."""
    preset = ("--preset", dice.choice(("Q4_K_M", "ffn_q8", "Q8_0", "uniform_q4_0")))
    calls: dict[str, tuple[str | Path, ...]] = {
        "plan": ("plan", path, *preset, *(("--json",) if dice.random() < 0.3 else ())),
        "inspect": ("inspect", path, dice.choice(("blk.0.ffn_up", "output_norm", "token_embd"))),
        "export": ("export", path, *preset),
        "types from it": ("plan", given.model, "--recipe", path),
        "requantize": ("plan", path, *preset, "--requantize"),
    }
    name = dice.choice(("plan", "plan", *calls))
    return name, lambda watched: watched.lqtui(*calls[name])


def _gguf(dice: random.Random, given: _Given, folder: Path) -> _Made:
    path = folder / "m.gguf"
    share = dice.random()
    if share < 0.5:
        told, raw = damaged(given.good, dice)
    elif share < 0.75:
        told, raw = misleading(given.good, dice)
    else:
        told, raw = damaged_bytes(given.model.read_bytes(), dice)
    path.write_bytes(raw)
    name, call = _reading(dice, given, path)
    return "GGUF files", f"{name} of {told}", call


def _native(dice: random.Random, given: _Given, folder: Path) -> _Made:
    path = folder / "m.gguf"
    told, raw = (misleading if dice.random() < 0.8 else damaged)(given.good, dice)
    path.write_bytes(raw)
    preset = ("--preset", dice.choice(("Q4_K_M", "ffn_q8", "uniform_q4_0")))
    quick = ("--corpus", given.text, *_QUICK)
    name = dice.choice(("quantize", "measure", "imatrix", "sensitivity", "chat"))

    def call(watched: Watched) -> Seen:
        out = watched.work / "out.gguf"
        calls: dict[str, tuple[str | Path, ...]] = {
            "quantize": ("quantize", path, out, *preset, "--threads", "1"),
            "measure": ("measure", path, *preset, *quick, "--kld"),
            "imatrix": ("imatrix", path, *quick, "-o", out),
            "sensitivity": ("sensitivity", path, *quick),
            "chat": ("chat", path, *preset, "--prompt", "hi", "--max-tokens", "8", "--threads", "1"),
        }
        return watched.lqtui(*calls[name])

    return "of them run by llama.cpp", f"{name} of {told}", call


def _split(dice: random.Random, given: _Given, folder: Path) -> _Made:
    parts = dict(given.parts)
    names = sorted(parts)
    chosen, other = dice.choice(names), dice.choice(names)
    told = dice.choice(
        (
            "missing",
            "doubled",
            "of another model",
            "swapped",
            "renamed",
            "damaged",
            "cut",
            "linked",
            "nowhere",
        )
    )
    match told:
        case "missing":
            del parts[chosen]
        case "doubled":
            parts[chosen] = parts[other]
        case "of another model":
            parts[chosen] = given.other_parts[chosen]
        case "swapped":
            parts[chosen], parts[other] = parts[other], parts[chosen]
        case "renamed":
            count = dice.choice((1, 2, len(names) + 1, 99999))
            parts = {
                name.replace(f"of-{len(names):05}", f"of-{count:05}"): raw for name, raw in parts.items()
            }
        case "damaged":
            parts[chosen] = damaged(parsed(parts[chosen]), dice)[1]
        case "cut":
            parts[chosen] = parts[chosen][: dice.randrange(len(parts[chosen]))]
        case "linked" | "nowhere":
            del parts[chosen]
            target = chosen if told == "linked" else dice.choice(("/dev/zero", "..", "none", "/dev/null"))
            (folder / chosen).symlink_to(target)
    for name, raw in parts.items():
        (folder / name).write_bytes(raw)
    there = sorted(folder.iterdir()) or [folder]
    name, call = _reading(dice, given, dice.choice(there))
    return "splits", f"{name} of a part {told}", call


def _matrix(dice: random.Random, given: _Given, folder: Path) -> _Made:
    path = folder / "m.imatrix"
    is_legacy = dice.random() < 0.4
    if not is_legacy and dice.random() < 0.6:
        told, raw = damaged(parsed(given.matrix), dice)
    elif is_legacy and dice.random() < 0.6:
        told, raw = "a number", _legacy_number(given.legacy, dice)
    else:
        told, raw = damaged_bytes(given.legacy if is_legacy else given.matrix, dice)
    path.write_bytes(raw)
    told = f"{'legacy ' if is_legacy else ''}imatrix, {told}"
    if dice.random() < 0.5:
        arguments: tuple[str | Path, ...] = ("plan", given.model, "--preset", "Q4_K_M", "--imatrix", path)
        return "importance matrices", f"plan by {told}", lambda watched: watched.lqtui(*arguments)

    def quantize(watched: Watched) -> Seen:
        out = watched.work / "out.gguf"
        return watched.lqtui("quantize", given.model, out, "--preset", "Q4_K_M", "--imatrix", path)

    return "importance matrices", f"quantize by {told}", quantize


def _legacy_number(raw: bytes, dice: random.Random) -> bytes:
    """The older format with one of its lengths, its counts or its values replaced."""
    at = dice.choice((0, 4, 4 * dice.randrange(len(raw) // 4), dice.randrange(len(raw) - 4)))
    value = struct.pack("<I", dice.choice(HUGE) & 0xFFFFFFFF)
    name = any_text(dice) if dice.random() < 0.2 else b""
    return raw[:at] + value + name + raw[at + 4 :]


def _quantized(dice: random.Random, given: _Given, folder: Path) -> _Made:
    path = folder / "q.gguf"
    share, good = dice.random(), parsed(given.quantized)
    if share < 0.3:
        told, raw = damaged_bytes(given.quantized, dice)
    else:
        told, raw = (misleading if share < 0.7 else damaged)(good, dice)
    path.write_bytes(raw)
    recipe = folder / "r.toml"
    recipe.write_text('base = "Q4_0"\nfile = "q.gguf"\n')
    arguments: dict[str, tuple[str | Path, ...]] = {
        "the file of a recipe": ("plan", given.model, "--recipe", recipe),
        "types taken": ("export", given.model, "--recipe", path, "--format", "toml"),
        "the file measured": ("measure", given.model, "--gguf", path, "--corpus", given.text, *_QUICK),
    }
    name = dice.choice(list(arguments))
    return "quantized files", f"{name}: {told}", lambda watched: watched.lqtui(*arguments[name])


def _odd(dice: random.Random, given: _Given, folder: Path) -> _Made:
    """What is no file, or no file of any sense."""
    path = folder / dice.choice(("m.gguf", "m-00001-of-00002.gguf", "\N{GRINNING FACE}.gguf", "m", "-m.gguf"))
    told = dice.choice(("directory", "pipe", "device", "loop", "empty", "sparse", "endless", "long", "zeros"))
    match told:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to(dice.choice(("/dev/null", "/dev/full", "/dev/tty")))
        case "endless":
            path.symlink_to(dice.choice(("/dev/zero", "/dev/urandom")))
        case "loop":
            path.symlink_to(path.name)
        case "empty":
            path.write_bytes(b"")
        case "zeros":
            path.write_bytes(bytes(4096))
        case "long":
            path = folder / ("x" * 300 + ".gguf")
        case "sparse":
            path.write_bytes(dice.choice((b"GGUF", given.model.read_bytes()[:2000], b"", b"GGUF\3\0\0\0")))
            if dice.random() < 0.5:
                path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, dice.choice(HUGE), dice.choice(HUGE)))
            os.truncate(path, 1 << 40)
    uses: dict[str, tuple[str | Path, ...]] = {
        "the model": ("plan", path, "--preset", "Q4_K_M"),
        "inspected": ("inspect", path, "blk.0.ffn_up"),
        "the importance matrix": ("plan", given.model, "--preset", "Q4_K_M", "--imatrix", path),
        "the recipe": ("plan", given.model, "--recipe", path),
        "the file to copy": ("measure", given.model, "--gguf", path, "--corpus", given.text, *_QUICK),
    }
    name = dice.choice(list(uses))
    return (
        "pipes, devices, and files of 1 TB",
        f"{name} is {told}",
        lambda watched: watched.lqtui(*uses[name]),
    )


def _app(dice: random.Random, given: _Given, folder: Path) -> _Made:
    path = folder / "m.gguf"
    told, raw = (misleading if dice.random() < 0.7 else damaged)(given.good, dice)
    path.write_bytes(raw)
    call = "tests.campaign.files:open_in_app"
    return "opened in the app", told, lambda watched: watched.call(call, str(path))


def open_in_app(path: str) -> None:
    """Open a file in the app, look around, and leave; SystemExit with its code where that is not 0."""
    from textual.widgets import Input

    from lqtui.store.paths import Paths
    from lqtui.tui.app import LqtuiApp
    from lqtui.workbench import Settings, Workbench

    async def opened() -> int:
        app = LqtuiApp(Workbench(Paths.from_environment(), Settings()), Path(path))
        async with app.run_test(size=(100, 30)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            for key in ("down", "4", "right", "i", "escape", "enter", "escape"):
                if not isinstance(app.focused, Input):
                    await pilot.press(key)
            await pilot.pause()
        return app.return_code or 0

    code = asyncio.run(opened())
    if code:
        raise AssertionError(f"the app ended with {code}")


_KINDS: tuple[Callable[[random.Random, _Given, Path], _Made], ...] = (
    *(_gguf, _split, _matrix, _native, _gguf, _quantized, _gguf, _odd, _gguf, _app),
    *(_gguf, _split, _matrix, _native, _gguf, _quantized, _gguf, _gguf, _gguf, _gguf),
)
