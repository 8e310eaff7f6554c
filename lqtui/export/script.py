"""The recipe as a shell script that stock llama.cpp turns into the same file, bit for bit."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePath

from lqtui import __version__
from lqtui.export.patterns import tensor_patterns
from lqtui.export.quoting import quoted
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.printable import printable
from lqtui.recipe.recipe import Plan

_MIB = 1 << 20
_LONGEST_NAME = 255 - len(".part")
"""Bytes of a file's name, on every system, while the script writes it."""
_LONGEST_SLUG = 100

_SCRIPT = """\
#!/usr/bin/env bash
{header}
#
# Usage: {script_name} [MODEL.gguf] [OUT.gguf]{usage_imatrix}
#   MODEL.gguf  the unquantized model     (default: {model_comment})
#   OUT.gguf    the file to write         (default: {out_comment})
{about_imatrix}#   LLAMA_QUANTIZE=/path/to/llama-quantize chooses the program, if it is not on the PATH.
set -euo pipefail

default_model={model}
default_out={out}
model=${{1:-$default_model}}
out=${{2:-$default_out}}
expected_bytes={expected_bytes}
{name_imatrix}
fail() {{
    printf '%s\\n' "$1" >&2
    exit 1
}}

quantize=${{LLAMA_QUANTIZE:-llama-quantize}}
command -v -- "$quantize" >/dev/null ||
    fail "llama-quantize was not found: install llama.cpp and put it on the PATH, or set LLAMA_QUANTIZE."
[[ -f $model ]] || fail "The model $model does not exist: give its path as the first argument."
# llama-quantize would take a leading dash for an option, and a leading number (7b.gguf) for a file type.
[[ $model == /* ]] || model=./$model
[[ $out == /* ]] || out=./$out
[[ ! $model -ef $out ]] || fail "The output $out would overwrite the model itself."
[[ ! -d $out ]] || fail "The output $out is a folder: give the name of a file as the second argument."
[[ -d ${{out%/*}}/ ]] || fail "The output's folder ${{out%/*}} does not exist."

options=(
{options}
)
{take_imatrix}
printf 'writing %s: {file_type}, %s bytes expected\\n' "$out" "$expected_bytes"
trap {trap} EXIT
"$quantize" ${{options[@]+"${{options[@]}}"}} "$model" "$out.part" {file_type} ||
    fail "llama-quantize stopped; its own messages stand above. Nothing was kept."

bytes=$(wc -c <"$out.part")
bytes=${{bytes//[[:space:]]/}}
[[ $bytes == "$expected_bytes" ]] ||
    fail "The file has $bytes bytes instead of $expected_bytes: another model or llama.cpp. Nothing was kept."
mv -f -- "$out.part" "$out"
printf 'done: %s, %s bytes as expected\\n' "$out" "$bytes"
"""


_NAME_IMATRIX = """\
default_imatrix={imatrix}
imatrix=${{3:-$default_imatrix}}
imatrix_name={imatrix_name}
imatrix_sha256={imatrix_sha256}
"""

# llama-quantize writes into the file what it is given as the matrix's name: always the same one here, in a
# folder of its own, whatever the file is called.
_TAKE_IMATRIX = """
[[ -f $imatrix ]] ||
    fail "The importance matrix $imatrix does not exist: give its path as the third argument."
if command -v sha256sum >/dev/null; then
    found=$(sha256sum <"$imatrix")
elif command -v shasum >/dev/null; then
    found=$(shasum -a 256 <"$imatrix")
else
    fail "Neither sha256sum nor shasum was found, to check the importance matrix with."
fi
[[ ${found%% *} == "$imatrix_sha256" ]] ||
    fail "$imatrix is not the importance matrix of this recipe: its SHA-256 is ${found%% *}."
quantize=$(command -v -- "$quantize")
for path in quantize model out imatrix; do
    [[ ${!path} == /* ]] || printf -v "$path" '%s/%s' "$PWD" "${!path}"
done
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
ln -s -- "$imatrix" "$work/$imatrix_name"
cd -- "$work"
options+=(--imatrix "$imatrix_name")
"""


def export_script(plan: Plan, model_file: str, measured: Sequence[str] = ()) -> str:
    """A bash script that makes a plan's file with llama-quantize and checks its size.

    Args:
        plan: The recipe on its model.
        model_file: The base model's file name, the script's default input.
        measured: Lines for the header on what was measured, none if nothing was.
    """
    ending = f"-{slug(plan.recipe.name)}.gguf"
    out = f"{_shortened(PurePath(model_file).stem, _LONGEST_NAME - len(ending))}{ending}"
    imatrix = plan.imatrix
    size = f"{plan.file_bytes:,} bytes ({plan.file_bytes / _MIB:.1f} MiB)"
    header = [
        f"{plan.recipe.name}: {plan.shape.name}, quantized by a recipe that lqtui {__version__} exported.",
        *([f"Recipe: {plan.recipe.description}"] if plan.recipe.description else []),
        *([f"Importance matrix: {imatrix.name}, SHA-256 {imatrix.sha256}."] if imatrix else []),
        f"Expected size: {size}, {plan.bits_per_weight:.2f} bits per weight.",
        *(f"Measured: {line}" for line in measured or ["nothing yet."]),
    ]
    return _SCRIPT.format(
        header="\n".join(f"# {_comment(line)}" for line in header),
        script_name=f"{slug(plan.recipe.name)}.sh",
        model_comment=_comment(model_file),
        out_comment=_comment(out),
        model=quoted(model_file),
        out=quoted(out),
        expected_bytes=plan.file_bytes,
        options=_options(plan) or "    # none: every tensor follows the file type",
        file_type=plan.file_type.value,
        usage_imatrix=" [IMATRIX]" if imatrix else "",
        about_imatrix=_about_imatrix(imatrix) if imatrix else "",
        name_imatrix=_name_imatrix(imatrix) if imatrix else "",
        take_imatrix=_TAKE_IMATRIX if imatrix else "",
        trap="""'rm -f -- "$out.part"; rm -rf -- "$work"'""" if imatrix else """'rm -f -- "$out.part"'""",
    )


def slug(name: str) -> str:
    """A name as part of a file name: letters, digits, dots, dashes and underscores alone."""
    return re.sub(r"[^\w.\-]+", "-", name, flags=re.ASCII)[:_LONGEST_SLUG].strip("-.") or "recipe"


def _shortened(name: str, longest: int) -> str:
    """The beginning of a name that takes no more bytes than that."""
    while len(os.fsencode(name)) > longest:
        name = name[:-1]
    return name


def _about_imatrix(imatrix: Imatrix) -> str:
    return f"#   IMATRIX     the importance matrix     (default: {_comment(imatrix.path)})\n"


def _name_imatrix(imatrix: Imatrix) -> str:
    return _NAME_IMATRIX.format(
        imatrix=quoted(imatrix.path),
        imatrix_name=quoted(imatrix.name),
        imatrix_sha256=imatrix.sha256,
    )


def _options(plan: Plan) -> str:
    lines = ["    --allow-requantize"] if plan.shape.quantized_types else []
    for pattern in tensor_patterns(plan):
        lines.append(f"    # {_comment(pattern.what)}")
        lines.append(f"    --tensor-type {quoted(pattern.argument)}")
    return "\n".join(lines)


def _comment(text: str) -> str:
    """Text that stays within one comment line, whatever characters a model's author put into it."""
    return printable(" ".join(text.splitlines()))
