"""The evaluation text: the person's own, or else WikiText-2, or what every Python installation brings."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
from dataclasses import dataclass
from pathlib import Path

from lqtui.store.files import atomic_write
from lqtui.store.paths import Paths, expanded, make_directory
from lqtui.store.reading import opened_at_once
from lqtui.workbench.demo import is_demo
from lqtui.workbench.jobs import RunningJob, new_log
from lqtui.workbench.values import OpenModel, WorkbenchError
from lqtui.worker.client import JobFailed, run_task
from lqtui.worker.messages import Event, FetchWikitext

WIKITEXT_2 = "wikitext-2"
WIKITEXT_2_SHA256 = "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08"
"""Of wiki.test.raw, 1,290,590 bytes."""
PYTHON_TOPICS = "python-topics"

_LOOKED_AT = 1 << 20
"""Bytes of a text that are looked at before it is accepted; the engine checks the rest."""
_START_SECONDS = 30.0
"""How long the process that fetches may take to begin, on a machine that is busy with other things."""
_SILENCE_SECONDS = 10.0
"""How long the Hub may send nothing before a measurement goes on without it."""


@dataclass(frozen=True)
class Corpus:
    """A text to measure on: what people call it, and its file."""

    name: str
    path: Path


class Corpora:
    """Which text a session measures on.

    Where the person has chosen none, it is WikiText-2, on which perplexities are usually quoted. The first
    measurement fetches it, once for good. Where that fails, it is Python's own help topics, which every
    installation has, and the session does not try again. For the demo model it is always those: with it
    everything can be tried at once, so its numbers need no download, and are the same without a network.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._wikitext_2 = paths.cache / "corpora" / "wikitext-2-raw-test.txt"
        self._gave_up = False

    def name(self, chosen: Path | None, model: OpenModel | None) -> str:
        """What people call the text that is at hand for a model."""
        if chosen is not None:
            return chosen.stem
        return WIKITEXT_2 if not is_demo(model) and self._wikitext_2.exists() else PYTHON_TOPICS

    def at_hand(self, chosen: Path | None, model: OpenModel | None) -> Corpus:
        """The text for a model, without fetching anything; StoreError where Python's cannot be written."""
        name = self.name(chosen, model)
        if chosen is not None:
            return Corpus(name, expanded(chosen))
        return Corpus(name, self._wikitext_2 if name == WIKITEXT_2 else _python_topics(self._paths))

    def is_to_be_fetched(self, chosen: Path | None, model: OpenModel | None) -> bool:
        """Whether the text for a model is one that `fetch` may get."""
        wanted = chosen is None and not is_demo(model) and not self._gave_up
        return wanted and not self._wikitext_2.exists()

    async def fetch(self, running: RunningJob) -> None:
        """Fetch WikiText-2 within a job; where that fails, the job's notice says why."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_START_SECONDS) as limit:

                def hear(event: Event) -> None:
                    limit.reschedule(loop.time() + _SILENCE_SECONDS)
                    running.progress_of(event)

                log = new_log(self._paths.logs, "fetch")
                done = await run_task(FetchWikitext(self._wikitext_2), log, hear, running.started)
            if done.digest != WIKITEXT_2_SHA256:
                running.notice(
                    "the WikiText-2 that came is not the text that others measure on (its SHA-256 is "
                    f"{(done.digest or '')[:12]}…), so the numbers do not compare with theirs"
                )
            return
        except TimeoutError:
            why = f"the Hugging Face Hub sent nothing for {_SILENCE_SECONDS:.0f} seconds"
        except JobFailed as error:
            why = str(error)
        self._gave_up = True
        running.notice(f"WikiText-2 could not be fetched, so Python's own help texts are measured on: {why}")


def halves(corpus: Corpus, paths: Paths) -> tuple[Corpus, Corpus]:
    """A text cut in two near its middle: what is fitted on one is told on the other.

    Raises WorkbenchError where the text cannot be read, StoreError where the halves cannot be kept.
    """
    parts, digest = _halves_of(corpus, paths)
    if not _are_halves(parts, digest):
        with corpus.path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read()
        cut = _middle(text)
        make_directory(parts[0].path.parent)
        for part, half in zip(parts, (text[:cut], text[cut:]), strict=True):
            with atomic_write(part.path) as temporary:
                temporary.write_text(half, encoding="utf-8", errors="surrogateescape", newline="")
    return parts


def kept_halves(corpus: Corpus, paths: Paths) -> tuple[Corpus, Corpus] | None:
    """The halves of a text where it was cut before, None elsewhere; WorkbenchError if it cannot be read."""
    parts, digest = _halves_of(corpus, paths)
    return parts if _are_halves(parts, digest) else None


def _are_halves(parts: tuple[Corpus, Corpus], digest: str) -> bool:
    """Whether the files of two halves are there, and together the whole text: a damaged one is cut anew."""
    whole = hashlib.sha256()
    try:
        for part in parts:
            with opened_at_once(part.path) as file:
                while piece := file.read(_LOOKED_AT):
                    whole.update(piece)
    except OSError:
        return False
    return whole.hexdigest() == digest


def _halves_of(corpus: Corpus, paths: Paths) -> tuple[tuple[Corpus, Corpus], str]:
    folder, digest = paths.cache / "corpora", corpus_digest(corpus.path)
    first, second = (
        Corpus(f"{corpus.name}, {name} half", folder / f"{digest[:16]}-{name}-half.txt")
        for name in ("first", "second")
    )
    return (first, second), digest


def _middle(text: str) -> int:
    """Where the second half of a text begins: behind a line, else a word, that ends soon after the middle."""
    half, reach = len(text) // 2, len(text) // 8
    ends = (text.find(end, half, half + reach) + 1 for end in "\n ")
    return next(filter(None, ends), half)


def _python_topics(paths: Paths) -> Path:
    """The file of Python's help topics, written to the cache once."""
    from pydoc_data import topics  # 700 kB of text, slow to load

    text = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = paths.cache / "corpora" / f"python-topics-{digest[:12]}.txt"
    if not _is_of(path, digest):
        make_directory(path.parent)
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


def _is_of(path: Path, digest: str) -> bool:
    """Whether a file is there and has a SHA-256."""
    try:
        with opened_at_once(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except OSError:
        return False


def check_text(path: Path) -> None:
    """Refuse a file that does not begin like text; WorkbenchError says so, or why it cannot be read."""
    corpus_digest(path)
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"the corpus {path} is not text: byte {error.start:,} is not UTF-8") from None
    if b"\0" in start:
        raise WorkbenchError(f"the corpus {path} is not text: it has zero bytes")


def corpus_digest(path: Path) -> str:
    """SHA-256 of a corpus file; WorkbenchError where it cannot be read."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise WorkbenchError(
                f"the corpus {path} is not a file but a pipe or device; save the text to a file first"
            )
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WorkbenchError(f"the corpus {path} cannot be read: {error.strerror}") from None
