"""The recipe as a file for llama-quantize's `--tensor-type-file`."""

from __future__ import annotations

from lqtui.export.patterns import tensor_patterns
from lqtui.recipe.recipe import Plan


def tensor_type_file(plan: Plan) -> str:
    """A line for each pattern of a plan; empty where llama-quantize needs none, or would ignore it.

    The file type is given to llama-quantize itself: `plan.file_type`.
    """
    return "".join(f"{pattern.argument}\n" for pattern in tensor_patterns(plan))
