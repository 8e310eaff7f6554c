"""Hostile names: of models, recipes, folders, texts, tensors, in scripts, reports and on the terminal.

Exported scripts are run by real bash with a stand-in for llama-quantize. What is printed, written or drawn
has nothing in it that a terminal, a shell or a browser would obey, and nothing but what was asked for exists
afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import html.parser
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import xml.etree.ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gguf_files import tiny_text, write_tiny_llama

from tests.campaign.row import Row
from tests.campaign.watched import Seen, Watched

DEFAULT = 700
_QUICK = ("--ctx", "64", "--chunks", "1", "--threads", "1")
_MARK = "4242"
"""In every escape sequence that a name has, and in none of lqtui's own."""
OBEYED = re.compile(
    rf"\x1b\][0-9]*;[^\x07\x1b]*{_MARK}|\x1b[\[P^_X]{_MARK}|[\x80-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_TENSOR = b"blk.0.ffn_up.weight"
_LONGEST = 255 - len(".gguf.part")
PIECES = (
    *(" ", "  ", "'", '"', "\\", "\n", "\r", "\t", "-", "--", "..", ".", ",", ";", "&", "|", "#", "!", "~"),
    *(
        "$(touch {canary})",
        "`touch {canary}`",
        "; touch {canary};",
        "$HOME",
        "${{PATH}}",
        "'$(touch {canary})'",
    ),
    *("\ntouch {canary}\n", '"$(touch {canary})"', "*", "?", "[a-z]", "{{a,b}}", "%s%n", "{{}}", "{{0}}"),
    *("[bold red]", "[/]", "[@click=app.quit]x[/]", "<script>alert(1)</script>", "<img src=x onerror=y>"),
    *("&lt;", "]]>", "--><b>", "😀", "👩‍🔬", "模型", "مرحبا", "é", "\u00a0", "\ufeff"),
    *(f"\x1b]0;owned{_MARK}\x07", f"\x1b[{_MARK}m", f"\x1b]52;c;{_MARK}\x07", f"\x1bP{_MARK}\x1b\\"),
    *(f"\x9b{_MARK}m", "\u202e", "\u2066", "\u200f", "\x7f", "\x08", "\u2028", "q4_0", "7b", "=SUM(A1)"),
)
_NO_UNICODE = ("\udcff", "\udc9b", "\udce2\udc80")
_STAND_IN = """\
#!/usr/bin/env bash
set -euo pipefail
printf '%s\\0' "$@" >"$STAND_IN_ARGUMENTS"
model=${@: -3:1} out=${@: -2:1}
[[ -s $model ]]
head -c "$STAND_IN_BYTES" /dev/zero >"$out"
"""


@dataclass(frozen=True)
class Case:
    """A model and a recipe with hostile names, in a folder with one."""

    number: int
    random: random.Random
    watched: Watched
    given: Path
    folder: Path
    model: Path
    recipe: Path
    name: str

    def lqtui(self, *arguments: str | Path) -> Seen:
        """Run a command on the model."""
        return self.watched.lqtui(*arguments)


def run(count: int, seed: int, work: Path, tell: Callable[[str], None], only: int | None = None) -> Row:
    """Try so many names, each in one of the ways in which lqtui comes to show or write it."""
    given, tried = work / "given", work / "tried"
    shutil.rmtree(tried, ignore_errors=True)
    given.mkdir(parents=True, exist_ok=True)
    model = write_tiny_llama(given / "tiny.gguf", blocks=2)
    (given / "text.txt").write_text(tiny_text(3000))
    tool = given / "llama-quantize"
    tool.write_text(_STAND_IN)
    tool.chmod(0o755)
    deaths = leaks = 0
    details: list[str] = []
    with Watched(tried, reads=[given], seconds=60) as watched:
        for number in range(count) if only is None else [only]:
            way = _WAYS[number % len(_WAYS)]
            case = _case(number, seed, watched, given, model, runs=way in _RUNNING)
            died, leaked = way(case)
            deaths, leaks = deaths + bool(died), leaks + bool(leaked)
            found = [*died, *leaked]
            details += [
                f"seed {seed}, number {number} ({way.__name__}, {case.name!r}): {each}" for each in found
            ]
            if found:
                shutil.copytree(case.folder, work / f"failed-{number}", symlinks=True, dirs_exist_ok=True)
                tell(details[-1])
            shutil.rmtree(case.folder)
            if (number + 1) % 100 == 0:
                tell(f"names: {number + 1} of {count}")
    tried_names = count if only is None else 1
    return Row("names", f"{tried_names:,} names", tried_names, 0, deaths, leaks, tuple(details))


def hostile_name(rng: random.Random, longest: int, *, unicode: bool) -> str:
    """A name that a file can have, of pieces that somebody or something might obey."""
    pieces = PIECES if unicode else (*PIECES, *_NO_UNICODE, *_NO_UNICODE)
    text = "".join(rng.choice(pieces).format(canary="canary") for _ in range(rng.randint(1, 7)))
    if rng.random() < 0.1:
        text += rng.choice(("x", "é", "模")) * longest
    text = text.replace("/", "_").replace("\0", "_")
    while len(os.fsencode(text)) > longest:
        text = text[:-1]
    return text if text.strip(".") else f"{text}x"


def _case(number: int, seed: int, watched: Watched, given: Path, model: Path, *, runs: bool) -> Case:
    rng = random.Random(f"{seed}-{number}")
    name = hostile_name(rng, _LONGEST, unicode=rng.random() < 0.9)
    folder = watched.work / f"case-{number}" / hostile_name(rng, 100, unicode=rng.random() < 0.95)
    folder.mkdir(parents=True)
    raw = model.read_bytes()
    strange = rng.choice((b"blk.0.\x1b[31mX.weight", b"blk.0.\xe2\x80\xaeabc.weight", b"blk.0.$(x)`y.weight"))
    if rng.random() < 0.3 and not runs:  # llama.cpp wants the names that it knows
        raw = raw.replace(_TENSOR, strange)
    path = folder / f"{name}.gguf"
    path.write_bytes(raw)
    recipe = folder / f"{hostile_name(rng, _LONGEST, unicode=rng.random() < 0.9)}.toml"
    called = [_toml(hostile_name(rng, 300, unicode=True)) for _ in range(2)]
    recipe.write_text(
        f'name = {called[0]}\ndescription = {called[1]}\nbase = "Q4_0"\n[tensors]\n"blk.1.ffn_up" = "Q8_0"\n',
        encoding="utf-8",
    )
    return Case(number, rng, watched, given, folder.parent, path, recipe, name)


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


Found = tuple[tuple[str, ...], tuple[str, ...]]
"""Deaths and leaks."""


def _joined(*seen: Seen) -> Found:
    return tuple(d for each in seen for d in each.deaths), tuple(x for each in seen for x in each.leaks)


def script(case: Case) -> Found:
    """The script is exported and run: it gives llama-quantize what it should, and runs nothing else."""
    out = case.folder / "script.sh"
    seen = case.lqtui("export", case.model, "--recipe", case.recipe, "-o", out)
    deaths, leaks = _joined(seen)
    if seen.code:
        return deaths, (*leaks, *_unless_refused(seen, case))
    text = out.read_text(encoding="utf-8")
    if not "".join(text.split("\n")).isprintable():
        leaks += ("the script has characters that a terminal obeys",)
    expected = re.search(r"^expected_bytes=(\d+)$", text, re.MULTILINE)
    assert expected, text
    before = _names(case.folder)
    environment = {
        "PATH": os.environ["PATH"],
        "LLAMA_QUANTIZE": str(case.given / "llama-quantize"),
        "STAND_IN_BYTES": expected[1],
        "STAND_IN_ARGUMENTS": str(case.folder / "arguments"),
    }
    done = subprocess.run(
        ["bash", str(out)], cwd=case.model.parent, env=environment, capture_output=True, timeout=60
    )
    if done.returncode:
        return (*deaths, f"the script failed: {done.stderr.decode(errors='replace')[-300:]}"), leaks
    made = _names(case.folder) - before - {"arguments"}
    if len(made) != 1 or not next(iter(made)).endswith(".gguf"):
        leaks += (f"the script made {sorted(made)!r}",)
    arguments = os.fsdecode((case.folder / "arguments").read_bytes()).split("\0")[:-1]
    if arguments[-3] != f"./{case.model.name}" or arguments[-1] != "Q4_0":
        leaks += (f"llama-quantize was given {arguments!r}",)
    if case.number % 10 == 0 and shutil.which("shellcheck"):
        checked = subprocess.run(
            ["shellcheck", "-e", "SC2016", str(out)],
            capture_output=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        if checked.returncode:
            leaks += (f"shellcheck: {checked.stdout.decode(errors='replace')[:300]}",)
    return deaths, leaks


def recipe_forms(case: Case) -> Found:
    """The recipe is printed in every form, harmlessly, and each is read back as the same recipe."""
    form = case.random.choice(("toml", "json", "tensor-types", "script"))
    printed = case.lqtui("export", case.model, "--recipe", case.recipe, "--format", form)
    if printed.code:
        return _joined(printed)[0], (*_joined(printed)[1], *_unless_refused(printed, case))
    ending = {"toml": ".toml", "json": ".json", "tensor-types": ".txt", "script": ".sh"}[form]
    again = case.model.with_name(f"again{ending}")
    again.write_text(printed.stdout, encoding="utf-8")
    first = case.lqtui("plan", case.model, "--recipe", case.recipe, "--json")
    second = case.lqtui("plan", case.model, "--recipe", again, "--json")
    deaths, leaks = _joined(printed, first, second)
    told = [json.loads(seen.stdout or '{"tensors": []}')["tensors"] for seen in (first, second)]
    if form == "tensor-types":  # which do not tell what the other tensors become
        told = [[{"name": "", "effective": bool(each)}] for each in told]
    if not told[0] or len({tuple((t["name"], t["effective"]) for t in each) for each in told}) > 1:
        leaks += (f"read back from {form}, the recipe is another: {second.stderr[-200:]}",)
    return deaths, leaks


def plan(case: Case) -> Found:
    """Model and recipe are shown as a table."""
    return _joined(case.lqtui("plan", case.model, "--recipe", case.recipe))


def errors(case: Case) -> Found:
    """What is not there, or is no model or recipe, is told of by its name."""
    missing = case.model.with_name(hostile_name(case.random, _LONGEST, unicode=case.random.random() < 0.7))
    wrong = case.random.choice(
        (
            ("plan", missing, "--preset", "Q4_0"),
            ("plan", case.recipe, "--preset", "Q4_0"),
            ("plan", case.model, "--recipe", missing),
            ("plan", case.model, "--recipe", case.model),
            ("plan", case.model, "--preset", missing.name),
            ("plan", case.model, "--preset", "Q4_0", "--imatrix", missing),
            ("inspect", "--type", "Q4_0", "--", case.model, missing.name),
            ("measure", case.model, "--preset", "Q4_0", "--corpus", missing, *_QUICK),
            ("quantize", case.model, missing / "out.gguf", "--preset", "Q4_0"),
            ("export", case.model, "--preset", "Q4_0", "-o", missing / "out.sh"),
            ("compare", case.model, missing),
            ("report", case.model, "-o", missing),
            ("convert", missing),
            ("models", "pull", "--", missing.name),
        )
    )
    return _joined(case.lqtui(*wrong))


def tensors(case: Case) -> Found:
    """A tensor is named to be inspected, and two recipes of a model are compared by its tensors."""
    told = case.lqtui("plan", case.model, "--recipe", case.recipe, "--json")
    if told.code:
        return _joined(told)
    names = [tensor["name"] for tensor in json.loads(told.stdout)["tensors"]]
    strange = next((name for name in names if name.startswith("blk.0.") and not name.isascii()), names[1])
    looked = case.lqtui("inspect", "--type", "Q4_0", "--", case.model, strange)
    compared = case.lqtui("compare", case.model, case.recipe)
    return _joined(told, looked, compared)


def measured(case: Case) -> Found:
    """A recipe is measured, and the report of it is a document in which every name is text alone."""
    text = case.model.with_name(f"{hostile_name(case.random, 200, unicode=True)}.txt")
    shutil.copy(case.given / "text.txt", text)
    where = ("--corpus", text, *_QUICK)
    done = case.lqtui("measure", case.model, "--recipe", case.recipe, *where)
    if done.code:
        return _joined(done)[0], (*_joined(done)[1], *_unless_refused(done, case))
    seen, leaks = [done], []
    for ending in (".html", ".svg", ".md", ".csv"):
        out = case.model.with_name(f"{hostile_name(case.random, 100, unicode=True)}{ending}")
        seen.append(case.lqtui("report", case.model, "-o", out, "--corpus", text, *_QUICK[:4]))
        if seen[-1].code == 0:
            leaks += unsafe(out.read_text(encoding="utf-8"), ending)
        else:
            leaks += [f"no report: {seen[-1].stderr[-200:]}"]
    deaths, printed = _joined(*seen)
    return deaths, (*printed, *leaks)


def terminal(case: Case) -> Found:
    """A command that draws its progress on a terminal sends it nothing of a name's."""
    arguments = ("measure", case.model, "--recipe", case.recipe, "--corpus", case.given / "text.txt", *_QUICK)
    return _seen_by_terminal(case, arguments, [])


def app(case: Case) -> Found:
    """The app shows model and recipe, jobs and their log, and sends the terminal nothing of a name's."""
    arguments = (case.model, "--corpus", case.given / "text.txt", *_QUICK)
    return _seen_by_terminal(case, arguments, [(3.0, b"r"), (4.0, b"l"), (1.5, b"\x1b"), (1.0, b"\x11")])


_WAYS: tuple[Callable[[Case], Found], ...] = (
    *(script, recipe_forms, plan, errors, script, measured, errors, tensors, recipe_forms, script),
    *(plan, errors, script, recipe_forms, errors, terminal, tensors, script, measured, app),
)

_RUNNING = (measured, terminal, app)


def _unless_refused(seen: Seen, case: Case) -> tuple[str, ...]:
    """Why a command was refused; nothing where a name that is no Unicode, or no tensor's, is the reason."""
    if "a tensor's name is not text" in seen.stderr:
        return ()
    texts = (str(case.model), str(case.recipe))
    allowed = "not valid Unicode" in seen.stderr and any(not _is_unicode(text) for text in texts)
    return () if allowed else (f"refused: {seen.stderr[-300:]}",)


def _is_unicode(text: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        return bool(text.encode())
    return False


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


class _Tags(html.parser.HTMLParser):
    """Keeps the names of a document's tags, and of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{tag} {name}" for name, _ in attrs if name.startswith("on"))}


def unsafe(document: str, ending: str) -> list[str]:
    """What of a report is more than text."""
    found = []
    if odd := {c for c in document if not c.isprintable()} - {"\n", "\u00a0"}:  # lqtui's own space
        found.append(f"{ending}: characters that a terminal obeys: {sorted(odd)!r}")
    if ending == ".html":
        tags = _Tags()
        tags.feed(document)
        if unknown := {tag for tag in tags.found if " " in tag or tag in ("script", "img", "b", "iframe")}:
            found.append(f"{ending}: {sorted(unknown)!r}")
    if ending == ".svg":
        try:
            tree = xml.etree.ElementTree.fromstring(document)
            if any(element.tag.endswith(("script", "img", "}b")) for element in tree.iter()):
                found.append(f"{ending}: elements of a name's")
        except xml.etree.ElementTree.ParseError as error:
            found.append(f"{ending}: {error}")
    return found


def _seen_by_terminal(
    case: Case, arguments: tuple[str | Path, ...], keys: list[tuple[float, bytes]]
) -> Found:
    """Run lqtui in a terminal, press keys after pauses, and look at every byte that it was sent."""
    sent, code = _in_terminal(case, [sys.executable, "-m", "lqtui", *map(str, arguments)], keys)
    text = sent.decode("utf-8", "replace")
    deaths = () if code in (0, 1, 2) and "Traceback" not in text else (f"ended with {code}: {text[-600:]!r}",)
    obeyed = sorted(set(OBEYED.findall(text)))
    return deaths, (f"the terminal was sent {obeyed!r}",) if obeyed else ()


def _in_terminal(case: Case, command: list[str], keys: list[tuple[float, bytes]]) -> tuple[bytes, int | None]:
    own, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        "LQTUI_HOME": str(case.watched.home),
        "HOME": str(case.watched.work),
        "HF_HUB_OFFLINE": "1",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    }
    child = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    sent = bytearray()
    try:
        for pause, key in keys:
            _read(own, sent, time.monotonic() + pause, child)
            with contextlib.suppress(OSError):
                os.write(own, key)
        _read(own, sent, time.monotonic() + 60, child)
        code = child.poll()
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        os.close(own)
    return bytes(sent), code


def _read(own: int, sent: bytearray, deadline: float, child: subprocess.Popen[bytes]) -> None:
    """Take what the terminal is sent, until then or until the process is gone."""
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([own], [], [], min(left, 0.2))
        if not ready:
            if child.poll() is not None:
                return
            continue
        try:
            sent += os.read(own, 1 << 16)
        except OSError:  # the last process of the terminal is gone
            child.wait(timeout=10)
            return
