"""Reading a recipe back from a script that `script.py` wrote; nothing of it is ever run."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise

from lqtui.export.quoting import first_word
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType, parse_file_type
from lqtui.recipe.tensor_types import Entry, parse_entry

_OPTIONS, _END = "\noptions=(\n", "\n)\n"
_FILE_TYPE = re.compile(r'"\$model" "\$out\.part" (?P<file_type>\w+) \|\|$', re.MULTILINE)
_IMATRIX = re.compile(r"^default_imatrix=", re.MULTILINE)
_IMATRIX_SHA256 = re.compile(r"^imatrix_sha256=(?P<sha256>[0-9a-f]{64})$", re.MULTILINE)
_SAID = ", quantized by a recipe that lqtui "
_NUMBERED = re.compile(r"(?<=^    --tensor-type )\$'.*'$", re.MULTILINE)


def is_script(text: str) -> bool:
    """Whether a text is a shell script."""
    return text.startswith("#!")


def read_script(text: str) -> tuple[str, FileType, list[Entry]]:
    """The recipe's name, its file type and its tensor types; RecipeError for a script of another kind."""
    _, begun, behind = text.partition(_OPTIONS)
    options, ended, _ = f"\n{behind}".partition(_END)
    file_type = _FILE_TYPE.search(text)
    if not begun or not ended or file_type is None:
        raise RecipeError("this is not a script that lqtui exported")
    try:
        words = shlex.split(_NUMBERED.sub(_in_letters, options), comments=True)
    except ValueError as error:
        raise RecipeError(f"the script's options cannot be read: {error}") from None
    entries = [parse_entry(following) for word, following in pairwise(words) if word == "--tensor-type"]
    return _name(text), parse_file_type(file_type["file_type"]), entries


def _name(text: str) -> str:
    """What the comment below the first line calls the recipe, "" where there is none."""
    comment = text.split("\n", 2)[1]
    name, colon, behind = comment.removeprefix("# ").partition(": ")
    return name if comment.startswith("# ") and colon and _SAID in behind else ""


def script_imatrix(text: str) -> tuple[str, str] | None:
    """The path and the SHA-256 of the importance matrix that a script quantizes by; None where by none."""
    named, digest = _IMATRIX.search(text), _IMATRIX_SHA256.search(text)
    if named is None or digest is None:
        return None
    try:
        path = first_word(text[named.end() :].split("\nimatrix=", 1)[0])
    except ValueError as error:
        raise RecipeError(f"the script's importance matrix cannot be read: {error}") from None
    return path, digest["sha256"]


def _in_letters(word: re.Match[str]) -> str:
    return shlex.quote(first_word(word[0]))
