#!/usr/bin/env python3
"""Make the demo model's training text and tokenizer from freely licensed Debian documentation packages.

Each package is downloaded with `apt-get download` and unpacked without being installed. Its pages become
plain text; paragraphs that occurred before are dropped, and so is whatever repeats eight words in a row of
`pydoc_data.topics`, which stays unseen because lqtui measures on it. Some whole documents are held out. A
byte-level BPE of 2,048 words is trained on the rest, and both parts are written as arrays of token numbers.

Needs `apt-get` and `dpkg-deb`, and the Python packages numpy and tokenizers.
"""

import argparse
import functools
import hashlib
import html.parser
import json
import multiprocessing
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SEED = 24
VOCABULARY = 2048
END_OF_TEXT = "<|endoftext|>"
GRAM = 8  # words in a row that count as copied
HELD_OUT_ONE_IN = 33  # documents
WRAP_SHARE = 0.65  # of documents, set in lines of at most 72 characters as a manual in a terminal is


@dataclass(frozen=True)
class Source:
    """One Debian package whose documentation is read, its licence, and how much of it is taken."""

    package: str
    licence: str
    pages: tuple[str, ...]
    megabytes: float = 4.0


SOURCES = (
    Source("sqlite3-doc", "public domain", ("**/*.html",), 6),
    Source("postgresql-doc-15", "PostgreSQL", ("**/*.html",), 8),
    Source("perl-doc", "Artistic or GPL-1+", ("**/*.pod",), 8),
    Source("rust-doc", "MIT or Apache-2.0", tuple(
        f"**/html/{book}/**/*.html"
        for book in ("book", "reference", "nomicon", "cargo", "rustc", "rust-by-example", "edition-guide",
                     "rustdoc", "embedded-book", "unstable-book", "error_codes")), 6),
    Source("apache2-doc", "Apache-2.0", ("**/manual/**/*.html.en", "**/manual/**/*.html"), 5),
    Source("python-django-doc", "BSD-3-Clause", ("**/*.html",), 8),
    Source("python-sqlalchemy-doc", "MIT", ("**/*.html",), 5),
    Source("erlang-doc", "Apache-2.0", ("**/*.html",), 5),
    Source("racket-doc", "MIT or Apache-2.0, parts LGPL-2.1+", ("**/*.html",), 7),
    Source("swi-prolog-doc", "BSD-2-Clause", ("**/*.html",), 3),
    Source("nodejs-doc", "MIT", ("**/*.html",), 4),
    Source("cmake-doc", "BSD-3-Clause", ("**/*.html",), 3),
    Source("zsh-doc", "MIT-like (Zsh licence)", ("**/*.html",), 3),
    Source("vim-doc", "Vim licence, OPL-1+ without options", ("**/*.html",), 4),
    Source("git-doc", "GPL-2", ("**/*.html",), 5),
    Source("exim4-doc-html", "GPL-2+", ("**/*.html",), 3),
    Source("postfix-doc", "EPL-2.0 or IPL-1.0", ("**/*.html",), 3),
    Source("debian-policy", "GPL-2+", ("**/*.html",), 2),
    Source("debian-handbook", "GPL-2+ or CC-BY-SA-3.0+", ("**/en-US/*.html",), 3),
    Source("debian-reference-en", "GPL-2+", ("**/*.html",), 2),
    Source("debian-faq", "copyleft notice of its own", ("**/*.html",), 1),
    Source("developers-reference", "GPL-2", ("**/*.html",), 1),
    Source("aptitude-doc-en", "GPL-2+", ("**/*.html",), 2),
    Source("installation-guide-amd64", "GPL-2", ("**/en/**/*.html", "**/*.en.html"), 2),
    Source("linux-doc-6.1", "GPL-2", ("**/*.rst", "**/*.rst.txt", "**/*.rst.gz", "**/*.html"), 9),
)  # fmt: skip

SKIPPED_TAGS = {
    "head",
    "script",
    "style",
    "nav",
    "header",
    "footer",
    "form",
    "button",
    "select",
    "svg",
    "noscript",
}
SKIPPED_CLASSES = re.compile(
    r"\b(nav|navheader|navfooter|navigation|sphinxsidebar\w*|sidebar|toc|tocset\w*|footer|related|headerlink|menu|"
    r"toplang|bottomlang|breadcrumbs|apidocs|mw-?editsection|nav-?wrapper|sidetoc|innertoc|leftcol)\b",
    re.IGNORECASE,
)
BLOCK_TAGS = {
    "address", "article", "aside", "blockquote", "body", "br", "dd", "div", "dl", "dt", "figure", "h1", "h2",
    "h3", "h4", "h5", "h6", "hr", "li", "main", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul",
}  # fmt: skip
VOID_TAGS = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
}  # fmt: skip
PLAIN = str.maketrans({
    "\u00a0": " ", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "--",
    "\u2026": "...", "\u00b6": "", "\u2011": "-", "\u2192": "->", "\u2022": "*", "\ufeff": "", "\u00ad": "",
    "\u200b": "", "\r": "", "\f": "", "\u2212": "-", "\t": "    ",
})  # fmt: skip
STOP_WORDS = {
    "the", "of", "to", "a", "and", "is", "in", "that", "for", "it", "be", "this", "are", "as", "with", "not",
    "by", "on", "or", "an", "if", "can", "which", "you",
}  # fmt: skip


class PageText(html.parser.HTMLParser):
    """Collect an HTML page's paragraphs; `marked` writes *emphasis* and "code" as plain text does."""

    def __init__(self, marked: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.marked = marked
        self.paragraphs: list[tuple[str, str]] = []  # (kind, text), kind one of: text, item, pre, h1 … h6
        self._pieces: list[str] = []
        self._kind = "text"
        self._skipped: str | None = None
        self._skip_depth = 0
        self._pre_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a paragraph, skip an element, or note an emphasis."""
        if self._skipped:
            self._skip_depth += tag == self._skipped
            return
        names = " ".join(value or "" for name, value in attrs if name in ("class", "id"))
        if tag in SKIPPED_TAGS or (tag not in VOID_TAGS and tag != "body" and SKIPPED_CLASSES.search(names)):
            self._skipped, self._skip_depth = tag, 1
            return
        if tag == "br" and self._pre_depth:
            self._pieces.append("\n")
        elif tag in BLOCK_TAGS and not (self._pre_depth and tag != "pre"):
            self.end_paragraph()
            if tag == "li":
                self._kind = "item"
            elif re.fullmatch(r"pre|h[1-6]", tag):
                self._kind = tag
            self._pre_depth += tag == "pre"
        else:
            self._mark(tag)

    def handle_endtag(self, tag: str) -> None:
        """End what the tag began."""
        if self._skipped:
            self._skip_depth -= tag == self._skipped
            if self._skip_depth <= 0:
                self._skipped = None
            return
        if tag in BLOCK_TAGS and not (self._pre_depth and tag != "pre"):
            self.end_paragraph()
            if tag == "pre":
                self._pre_depth = max(0, self._pre_depth - 1)
        else:
            self._mark(tag)

    def handle_data(self, data: str) -> None:
        """Take text into the paragraph being read."""
        if not self._skipped:
            self._pieces.append(data if self._pre_depth else re.sub(r"\s+", " ", data))

    def end_paragraph(self) -> None:
        """Close the paragraph being read; an empty one leaves nothing behind."""
        text = "".join(self._pieces).translate(PLAIN)
        self._pieces = []
        if self._kind == "pre":
            text = "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))
        else:
            text = re.sub(r"\s+", " ", text).strip()
        if text.strip():
            self.paragraphs.append((self._kind, text))
            self._kind = "text"

    def _mark(self, tag: str) -> None:
        mark = {"code": '"', "tt": '"', "em": "*", "i": "*", "strong": "**", "b": "**"}.get(tag)
        if self.marked and mark and not self._pre_depth and self._kind in ("text", "item"):
            self._pieces.append(mark)


def html_paragraphs(page: str, marked: bool) -> list[tuple[str, str]]:
    """Return an HTML page's (kind, text) paragraphs in order."""
    parser = PageText(marked)
    parser.feed(page)
    parser.end_paragraph()
    return parser.paragraphs


def pod_paragraphs(page: str, marked: bool) -> list[tuple[str, str]]:
    """Return the (kind, text) paragraphs of a page in Perl's POD."""
    quote = {"C": '"', "F": '"', "I": "*", "B": "**"} if marked else {}
    found: list[tuple[str, str]] = []
    for block in re.split(r"\n\s*\n", page.translate(PLAIN)):
        block = block.strip("\n")
        if heading := re.match(r"=head([1-4])\s+(.*)", block, re.DOTALL):
            kind, block = f"h{heading[1]}", heading[2]
        elif item := re.match(r"=item\s+\*?\s*(.*)", block, re.DOTALL):
            kind, block = "text", item[1]
        elif block.startswith("="):
            continue
        else:
            kind = "pre" if block[:1].isspace() else "text"
        if kind != "pre":
            for _ in range(3):
                block = re.sub(r"L<([^<>|]*\|)?([^<>]*)>", lambda m: (m[1] or m[2]).rstrip("|"), block)
                block = re.sub(r"[XZ]<[^<>]*>", "", block)
                block = re.sub(r"E<(\w+)>", lambda m: {"lt": "<", "gt": ">"}.get(m[1], ""), block)
                block = re.sub(
                    r"([BCFIS])(?:<<+ (.*?) >>+|<([^<>]*)>)",
                    lambda m: quote.get(m[1], "") + (m[2] or m[3] or "") + quote.get(m[1], ""),
                    block,
                )
            block = re.sub(r"\s+", " ", block).strip()
        if block:
            found.append((kind, block))
    return found


def rst_paragraphs(page: str, marked: bool) -> list[tuple[str, str]]:
    """Return the (kind, text) paragraphs of a page in reStructuredText, nearly plain text already."""
    found: list[tuple[str, str]] = []
    for block in re.split(r"\n\s*\n", page.translate(PLAIN)):
        block = re.sub(r":[\w:-]+:`([^`<]*)[^`]*`", r"\1", block.strip("\n"))
        block = block.replace("``", '"' if marked else "")
        if block.lstrip().startswith(("..", ":")):
            continue
        listing = block[:1].isspace() or re.search(r"^[=+|*~^-]{3}", block, re.MULTILINE)
        found.append(("pre" if listing else "text", block if listing else re.sub(r"\s+", " ", block).strip()))
    return [(kind, text) for kind, text in found if text.strip()]


def set_in_lines(paragraphs: list[tuple[str, str]], wrapped: bool) -> list[str]:
    """Lay paragraphs out as text: in short lines with underlined headings, or one line to a paragraph."""
    laid: list[str] = []
    for kind, text in paragraphs:
        if kind == "pre":
            text = textwrap.indent(textwrap.dedent(text), "   " if wrapped else "    ")
        elif not wrapped:
            text = f"- {text}" if kind == "item" else text
        elif kind in ("h1", "h2", "h3"):
            text = f"{text}\n{'*=-'[int(kind[1]) - 1] * len(text)}"
        elif kind == "item":
            text = textwrap.fill(
                text, 70, initial_indent="* ", subsequent_indent="  ", break_long_words=False
            )
        else:
            text = textwrap.fill(text, 70, break_long_words=False, break_on_hyphens=False)
        laid.append(text)
    return laid


def chance(key: str) -> float:
    """Return a number in [0, 1) that depends on nothing but `key` and the seed."""
    return int.from_bytes(hashlib.sha256(f"{SEED}:{key}".encode()).digest()[:8], "big") / 2**64


def is_english(text: str) -> bool:
    """Tell whether a text is mostly English sentences rather than listings or another language."""
    words = re.findall(r"[A-Za-z]+", text.lower())
    ascii_share = sum(character < "\x7f" for character in text) / max(1, len(text))
    return len(words) > 60 and ascii_share > 0.985 and sum(w in STOP_WORDS for w in words) / len(words) > 0.16


def read_page(job: tuple[str, str]) -> list[str]:
    """Return the paragraphs of one page as laid-out text, or nothing where the page is not English prose."""
    path, name = job
    raw = Path(path).read_bytes()
    page = raw.decode("utf-8", errors="ignore")
    wrapped = chance(f"wrap:{name}") < WRAP_SHARE
    if path.endswith(".pod"):
        paragraphs = pod_paragraphs(page, wrapped)
    elif ".rst" in path:
        paragraphs = rst_paragraphs(page, wrapped)
    else:
        paragraphs = html_paragraphs(page, wrapped)
    laid = set_in_lines(paragraphs, wrapped)
    return laid if is_english("\n".join(laid)) else []


@functools.lru_cache(maxsize=1_000_000)
def word_hash(word: str) -> int:
    """Return a word's 64-bit hash."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")


def share_in(hashes: np.ndarray, known: np.ndarray) -> float:
    """Return the share of `hashes` that the sorted array `known` holds."""
    if not len(hashes):
        return 0.0
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return float((known[places] == hashes).mean())


def gram_hashes(text: str) -> np.ndarray:
    """Return a 64-bit hash of every run of GRAM words in a text."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    if len(words) < GRAM:
        return np.zeros(0, np.uint64)
    numbers = np.array([word_hash(word) for word in words], np.uint64)
    total = np.zeros(len(words) - GRAM + 1, np.uint64)
    for offset in range(GRAM):
        total = total * np.uint64(0x9E3779B97F4A7C15) + numbers[offset : offset + len(total)]
    return total


def fetch(source: Source, work: Path) -> tuple[Path, str]:
    """Download and unpack a package unless that was done before; return its folder and its version."""
    archives, unpacked = work / "packages", work / "unpacked" / source.package
    archives.mkdir(parents=True, exist_ok=True)
    if not list(archives.glob(f"{source.package}_*.deb")):
        subprocess.run(["apt-get", "download", "-q", source.package], cwd=archives, check=True)
    archive = next(archives.glob(f"{source.package}_*.deb"))
    if not unpacked.exists():
        unpacked.mkdir(parents=True)
        subprocess.run(["dpkg-deb", "-x", archive, unpacked], check=True)
    return unpacked, archive.name.split("_")[1].replace("%3a", ":")


def pages_of(source: Source, folder: Path) -> list[Path]:
    """List a source's pages once each, in an order that is random but fixed."""
    found = {path.resolve() for pattern in source.pages for path in folder.glob(pattern) if path.is_file()}
    return sorted(
        (p for p in found if p.is_relative_to(folder.resolve())), key=lambda p: chance(p.name + p.parent.name)
    )


@dataclass(frozen=True)
class Taken:
    """What one package gave, after filtering."""

    package: str
    version: str
    licence: str
    documents: int
    characters: int


def documents_of(
    source: Source, work: Path, seen: set[bytes], unseen: np.ndarray
) -> Iterator[tuple[str, str]]:
    """Yield (name, text) for each document kept: nothing repeated, and nothing that `unseen` holds."""
    folder, _ = fetch(source, work)
    folder = folder.resolve()
    jobs = [(str(p), f"{source.package}/{p.relative_to(folder)}") for p in pages_of(source, folder)]
    with multiprocessing.Pool(2) as pool:
        for (_, name), paragraphs in zip(jobs, pool.imap(read_page, jobs, chunksize=16), strict=True):
            kept: list[str] = []
            copied = 0
            for paragraph in paragraphs:
                digest = hashlib.sha256(re.sub(r"\W+", " ", paragraph).encode()).digest()[:12]
                if digest in seen:
                    continue
                seen.add(digest)
                if share_in(gram_hashes(paragraph), unseen) > 0:
                    copied += len(paragraph)
                else:
                    kept.append(paragraph)
            text = "\n\n".join(kept) + "\n"
            if copied <= 0.02 * len(text) and len(text) > 600 and is_english(text):
                yield name, text


def gather(work: Path) -> tuple[list[str], list[str], list[Taken]]:
    """Return the training documents, the held-out documents, and an account of what each package gave."""
    import pydoc_data.topics

    unseen = np.unique(np.concatenate([gram_hashes(text) for text in pydoc_data.topics.topics.values()]))
    seen: set[bytes] = set()
    train: list[str] = []
    held_out: list[str] = []
    account: list[Taken] = []
    for source in SOURCES:
        count = size = 0
        for name, text in documents_of(source, work, seen, unseen):
            (held_out if chance(f"held-out:{name}") < 1 / HELD_OUT_ONE_IN else train).append(text)
            count, size = count + 1, size + len(text)
            if size > source.megabytes * 1e6:
                break
        account.append(Taken(source.package, fetch(source, work)[1], source.licence, count, size))
        print(account[-1], flush=True)
    known = np.unique(np.concatenate([gram_hashes(text) for text in train]))
    fresh = [text for text in held_out if share_in(gram_hashes(text), known) < 0.10]
    print(f"held out: {len(fresh)} of {len(held_out)} documents, the others repeat training text")
    return train, fresh, account


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Train a byte-level BPE with GPT-2's pre-tokenizer; every byte has a word of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Return the documents' token numbers in one array, each document after an end-of-text token."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    pieces = [np.array([end, *encoding.ids], np.uint16) for encoding in tokenizer.encode_batch(texts)]
    return np.concatenate(pieces)


def main() -> None:
    """Write tokenizer.json, train.npy, held_out.npy, held_out.txt and sources.json into the work folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("work"), help="folder for everything made (default: work)"
    )
    work: Path = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)

    train, held_out, account = gather(work)
    train.sort(key=lambda text: chance(f"train:{text[:200]}"))
    held_out.sort(key=lambda text: chance(f"held-out:{text[:200]}"))
    tokenizer = train_tokenizer(train)
    tokenizer.save(str(work / "tokenizer.json"))
    tokens = {"train": encode(tokenizer, train), "held_out": encode(tokenizer, held_out)}
    for name, array in tokens.items():
        np.save(work / f"{name}.npy", array)
    (work / "held_out.txt").write_text("".join(held_out), encoding="utf-8")
    summary = {
        "sources": [asdict(taken) for taken in account],
        "documents": {"train": len(train), "held_out": len(held_out)},
        "bytes": {
            "train": sum(len(t.encode()) for t in train),
            "held_out": sum(len(t.encode()) for t in held_out),
        },
        "tokens": {name: len(array) for name, array in tokens.items()},
    }
    (work / "sources.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    json.dump({key: summary[key] for key in ("documents", "bytes", "tokens")}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
