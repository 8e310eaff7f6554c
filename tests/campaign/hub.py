"""A Hub that lies: in what it lists, in what it tells of a file and sends of it, and where it sends one to.

The commands run against a server on this machine whose answers are hostile, with a person's token. They end
in a bounded time and memory with what is true or with a sentence, write nothing outside the Hub's cache and
lqtui's home, and neither tell the token nor take it to another server.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local_hub import LocalHub

from tests.campaign.hub_lies import LIES, NAME, OF_LISTS, OWNER, TOKEN, Stage, Told
from tests.campaign.row import Row
from tests.campaign.watched import Seen, Watched

DEFAULT = 400
_MOST_BYTES = 1 << 30
_MOST_DISK = 4 << 20
"""Bytes that the cache may hold more than what is true."""


def run(count: int, seed: int, work: Path, tell: Callable[[str], None], only: int | None = None) -> Row:
    """Tell so many lies, each of a kind and with details made from the seed and its number."""
    tried = work / "tried"
    shutil.rmtree(tried, ignore_errors=True)
    deaths = leaks = lost = 0
    details: list[str] = []
    with Watched(tried, seconds=40, memory=2 << 30) as watched:
        for number in range(count) if only is None else [only]:
            lie = LIES[number % len(LIES)]
            outcome = _case(number, seed, lie, watched)
            lost, deaths, leaks = (
                lost + bool(outcome.lost),
                deaths + bool(outcome.deaths),
                leaks + bool(outcome.leaks),
            )
            found = [*outcome.lost, *outcome.deaths, *outcome.leaks]
            details += [f"seed {seed}, number {number} ({lie.__name__}): {each}" for each in found]
            if found:
                tell(details[-1])
                kept = work / f"failed-{number}"
                shutil.copytree(tried, kept, symlinks=True, dirs_exist_ok=True)
            if (number + 1) % 50 == 0:
                tell(f"hub: {number + 1} of {count}")
    number_of = count if only is None else 1
    return Row("hub", f"{number_of:,} lies", number_of, lost, deaths, leaks, tuple(details))


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    lost: tuple[str, ...]
    deaths: tuple[str, ...]
    leaks: tuple[str, ...]


def _case(number: int, seed: int, lie: Told, watched: Watched) -> Outcome:
    rng = random.Random(f"{seed}-{number}")
    cache = watched.work / "huggingface"
    for folder in (cache, watched.home):
        shutil.rmtree(folder, ignore_errors=True)
    hub, elsewhere = LocalHub(), LocalHub()
    try:
        content = rng.randbytes(rng.choice((0, 1, 70_000, *3 * (300_000,))))
        stage = Stage(rng, hub, elsewhere, hub.add(OWNER, NAME, content), content)
        seen = []
        if rng.random() < 0.3:  # something came before the lie
            stage.file.sent = content[: len(content) // 2]
            seen.append(_asked(watched, hub, "models", "pull", f"{OWNER}:{NAME}"))
            stage.file.sent = None
            hub.requests.clear()
        lie(stage)
        ask = rng.choice(_PULLING if lie not in OF_LISTS else (*_PULLING, *_LISTING))
        seen.append(_asked(watched, hub, *ask))
        return judged(seen, content, (hub, elsewhere), watched.work)
    finally:
        for server in (hub, elsewhere):
            server.close()


_PULLING = (("models", "pull", f"{OWNER}:{NAME}"), ("models", "pull", f"{OWNER}:{NAME}", "--json"))
_LISTING = (
    *(("models", "list", OWNER), ("models", "list", OWNER, "--json")),
    *(("models", "search", "tiny"), ("models", "search", "tiny", "--json")),
)


def _asked(watched: Watched, hub: LocalHub, *arguments: str) -> Seen:
    return watched.call("tests.campaign.hub:ask", hub.endpoint, TOKEN, list(arguments))


def ask(endpoint: str, token: str, arguments: list[str]) -> None:
    """Run a command, in a process of its own, with a Hub at this address and little patience."""
    from huggingface_hub import constants

    import lqtui.cli
    from lqtui.workbench import downloads

    os.environ["HF_TOKEN"] = token
    constants.ENDPOINT = endpoint
    constants.HUGGINGFACE_CO_URL_TEMPLATE = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    constants.HF_HUB_OFFLINE = False
    constants.HF_HUB_DOWNLOAD_TIMEOUT = constants.HF_HUB_ETAG_TIMEOUT = 3
    downloads._ANSWER_SECONDS = 10.0
    downloads._SILENCE_SECONDS = 5.0
    sys.argv = ["lqtui", *arguments]
    lqtui.cli.main()


def judged(seen: list[Seen], content: bytes, servers: tuple[LocalHub, ...], work: Path) -> Outcome:
    """What was wrong with how commands ended, what they left, and whom they told the token."""
    hub, *others = servers
    deaths = [death for each in seen for death in each.deaths]
    deaths += [f"took {each.peak_bytes >> 20} MiB" for each in seen if each.peak_bytes > _MOST_BYTES]
    leaks = [leak for each in seen for leak in each.leaks]
    leaks += [
        f"the token came to {request.path}"
        for server in others
        for request in server.requests
        if TOKEN in repr(request)
    ]
    leaks += [
        f"the token came to {request.host}"
        for request in hub.requests
        if request.authorization and request.host != f"127.0.0.1:{hub.port}"
    ]
    lost = []
    files = [path for path in work.rglob("*") if path.is_file() and not path.is_symlink()]
    for path in files:
        if TOKEN.encode() in path.read_bytes() or TOKEN in path.name:
            leaks.append(f"the token is in {path.relative_to(work)}")
        if path.relative_to(work).parts[0] not in (
            "home",
            "huggingface",
            "tmp",
            ".stdout",
            ".stderr",
            ".report",
        ):
            leaks.append(f"{path.relative_to(work)} was written")
    if (held := sum(p.stat().st_size for p in files if "huggingface" in p.parts)) > len(content) + _MOST_DISK:
        leaks.append(f"the cache holds {held} bytes")
    last = seen[-1]
    if last.code == 0 and (path := _pulled(last.stdout)) is not None:
        if not path.resolve().is_relative_to(work / "huggingface"):
            leaks.append(f"{path} leads out of the cache")
        if not path.is_file() or path.read_bytes() != content:
            lost.append(f"{path} has other bytes than the true ones")
    return Outcome(tuple(lost), tuple(deaths), tuple(leaks))


def _pulled(printed: str) -> Path | None:
    """The path that `models pull` printed."""
    with contextlib.suppress(ValueError):
        document = json.loads(printed)
        return Path(document["path"]) if isinstance(document, dict) and document.get("path") else None
    return Path(printed.strip()) if printed.startswith("/") else None
