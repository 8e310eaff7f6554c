"""llama-quantize's file types: the mix names given on its command line.

A file type has a number in the GGUF header (`general.file_type`) and a default tensor type, after
`llama_ftype_get_default_type`; `mixes.py` says where a mix departs from its default.
"""

from __future__ import annotations

from enum import StrEnum

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.types import TensorType


class FileType(StrEnum):
    """A file type by its llama-quantize name."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    Q8_0 = "Q8_0"
    Q6_K = "Q6_K"
    Q5_1 = "Q5_1"
    Q5_K_M = "Q5_K_M"
    Q5_K_S = "Q5_K_S"
    Q5_0 = "Q5_0"
    Q4_1 = "Q4_1"
    Q4_K_M = "Q4_K_M"
    Q4_K_S = "Q4_K_S"
    Q4_0 = "Q4_0"
    IQ4_NL = "IQ4_NL"
    IQ4_XS = "IQ4_XS"
    MXFP4_MOE = "MXFP4_MOE"
    Q3_K_L = "Q3_K_L"
    Q3_K_M = "Q3_K_M"
    Q3_K_S = "Q3_K_S"
    IQ3_M = "IQ3_M"
    IQ3_S = "IQ3_S"
    IQ3_XS = "IQ3_XS"
    IQ3_XXS = "IQ3_XXS"
    Q2_K = "Q2_K"
    Q2_K_S = "Q2_K_S"
    IQ2_M = "IQ2_M"
    IQ2_S = "IQ2_S"
    IQ2_XS = "IQ2_XS"
    IQ2_XXS = "IQ2_XXS"
    Q2_0 = "Q2_0"
    TQ2_0 = "TQ2_0"
    IQ1_M = "IQ1_M"
    TQ1_0 = "TQ1_0"
    IQ1_S = "IQ1_S"
    Q1_0 = "Q1_0"

    @property
    def number(self) -> int:
        """The value of `general.file_type` (llama.h: `enum llama_ftype`)."""
        return _FILE_TYPES[self][0]

    @property
    def default_type(self) -> TensorType:
        """The type of every tensor for which the mix makes no exception."""
        return _FILE_TYPES[self][1]

    @property
    def is_quantized(self) -> bool:
        """Whether the default is a quantized type; if not, llama-quantize ignores `--tensor-type`."""
        return self.default_type.is_quantized


_FILE_TYPES: dict[FileType, tuple[int, TensorType]] = {
    FileType.F32: (0, TensorType.F32),
    FileType.F16: (1, TensorType.F16),
    FileType.BF16: (32, TensorType.BF16),
    FileType.Q8_0: (7, TensorType.Q8_0),
    FileType.Q6_K: (18, TensorType.Q6_K),
    FileType.Q5_1: (9, TensorType.Q5_1),
    FileType.Q5_K_M: (17, TensorType.Q5_K),
    FileType.Q5_K_S: (16, TensorType.Q5_K),
    FileType.Q5_0: (8, TensorType.Q5_0),
    FileType.Q4_1: (3, TensorType.Q4_1),
    FileType.Q4_K_M: (15, TensorType.Q4_K),
    FileType.Q4_K_S: (14, TensorType.Q4_K),
    FileType.Q4_0: (2, TensorType.Q4_0),
    FileType.IQ4_NL: (25, TensorType.IQ4_NL),
    FileType.IQ4_XS: (30, TensorType.IQ4_XS),
    FileType.MXFP4_MOE: (38, TensorType.MXFP4),
    FileType.Q3_K_L: (13, TensorType.Q3_K),
    FileType.Q3_K_M: (12, TensorType.Q3_K),
    FileType.Q3_K_S: (11, TensorType.Q3_K),
    FileType.IQ3_M: (27, TensorType.IQ3_S),
    FileType.IQ3_S: (26, TensorType.IQ3_S),
    FileType.IQ3_XS: (22, TensorType.IQ3_S),
    FileType.IQ3_XXS: (23, TensorType.IQ3_XXS),
    FileType.Q2_K: (10, TensorType.Q2_K),
    FileType.Q2_K_S: (21, TensorType.Q2_K),
    FileType.IQ2_M: (29, TensorType.IQ2_S),
    FileType.IQ2_S: (28, TensorType.IQ2_XS),
    FileType.IQ2_XS: (20, TensorType.IQ2_XS),
    FileType.IQ2_XXS: (19, TensorType.IQ2_XXS),
    FileType.Q2_0: (41, TensorType.Q2_0),
    FileType.TQ2_0: (37, TensorType.TQ2_0),
    FileType.IQ1_M: (31, TensorType.IQ1_M),
    FileType.TQ1_0: (36, TensorType.TQ1_0),
    FileType.IQ1_S: (24, TensorType.IQ1_S),
    FileType.Q1_0: (40, TensorType.Q1_0),
}

_ALIASES = {"Q5_K": "Q5_K_M", "Q4_K": "Q4_K_M", "Q3_K": "Q3_K_M", "FP16": "F16", "FP32": "F32"}

_FOR_TYPE = {
    **{file_type.default_type: file_type for file_type in reversed(FileType)},
    TensorType.Q5_K: FileType.Q5_K_S,
    TensorType.Q4_K: FileType.Q4_K_S,
    TensorType.Q3_K: FileType.Q3_K_S,
    TensorType.IQ3_S: FileType.IQ3_S,
    TensorType.Q2_K: FileType.Q2_K,
    TensorType.IQ2_XS: FileType.IQ2_XS,
    TensorType.NVFP4: FileType.Q4_0,
}


def file_type_for(tensor_type: TensorType) -> FileType:
    """The file type whose header number says "mostly `tensor_type`" with the fewest exceptions."""
    return _FOR_TYPE[tensor_type]


def parse_file_type(text: str) -> FileType:
    """The file type that a person named, as llama-quantize reads it (any case, `Q4_K` = `Q4_K_M`)."""
    name = text.strip().upper()
    name = _ALIASES.get(name, name)
    try:
        return FileType(name)
    except ValueError:
        known = ", ".join(FileType)
        raise RecipeError(
            f"unknown base {text.strip()!r}; llama-quantize's file types are: {known}"
        ) from None
