"""Reading a recipe back from a script that `script.py` wrote; nothing of it is ever run."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise

from lqtui.export.quoting import first_word
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType, parse_file_type
from lqtui.recipe.tensor_types import Entry, parse_entry

_OPTIONS = re.compile(r"^options=\(\n(?P<options>.*?)^\)$", re.DOTALL | re.MULTILINE)
_FILE_TYPE = re.compile(r'"\$model" "\$out\.part" (?P<file_type>\w+) \|\|$', re.MULTILINE)
_IMATRIX = re.compile(r"^default_imatrix=", re.MULTILINE)
_IMATRIX_SHA256 = re.compile(r"^imatrix_sha256=(?P<sha256>[0-9a-f]{64})$", re.MULTILINE)
_NAME = re.compile(r"^# (?P<name>.*?): .*, quantized by a recipe that lqtui \S+ exported\.$", re.MULTILINE)
_NUMBERED = re.compile(r"(?<=^    --tensor-type )\$'.*'$", re.MULTILINE)


def is_script(text: str) -> bool:
    """Whether a text is a shell script."""
    return text.startswith("#!")


def read_script(text: str) -> tuple[str, FileType, list[Entry]]:
    """The recipe's name, its file type and its tensor types; RecipeError for a script of another kind."""
    options, file_type = _OPTIONS.search(text), _FILE_TYPE.search(text)
    if options is None or file_type is None:
        raise RecipeError("this is not a script that lqtui exported")
    try:
        words = shlex.split(_NUMBERED.sub(_in_letters, options["options"]), comments=True)
    except ValueError as error:
        raise RecipeError(f"the script's options cannot be read: {error}") from None
    entries = [parse_entry(following) for word, following in pairwise(words) if word == "--tensor-type"]
    name = _NAME.search(text)
    return name["name"] if name else "", parse_file_type(file_type["file_type"]), entries


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
