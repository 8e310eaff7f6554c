"""The evaluation text: the person's own, or the one that every Python installation brings."""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path

from lqtui.store.files import atomic_write
from lqtui.store.paths import Paths, expanded, make_directory
from lqtui.workbench.values import WorkbenchError

_LOOKED_AT = 1 << 20
"""Bytes of a text that are looked at before it is accepted; the engine checks the rest."""


def corpus_file(corpus: Path | None, paths: Paths) -> Path:
    """The file of the chosen corpus; None is Python's own help topics, written to the cache once."""
    if corpus is not None:
        return expanded(corpus)
    from pydoc_data import topics  # 700 kB of text, slow to load

    text = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = paths.cache / "corpora" / f"python-topics-{digest[:12]}.txt"
    if not path.exists():
        make_directory(path.parent)
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


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
