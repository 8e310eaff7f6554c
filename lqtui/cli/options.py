"""The options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lqtui.recipe.granularity import Granularity

RECIPE_HELP = "A recipe file (TOML, JSON, tensor types, an exported script), or a GGUF, for its types."

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A GGUF file; of a split model, any part.")]
PRESET_HELP = "A published strategy, a profile, or a mix of llama.cpp's (Q4_K_M)."
Preset = Annotated[str | None, typer.Option("--preset", metavar="NAME", help=PRESET_HELP)]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", metavar="FILE", help=RECIPE_HELP)]
AsPublished = Annotated[
    bool,
    typer.Option("--as-published", help="The preset as its unanchored patterns really reached."),
]
Imatrix = Annotated[
    Path | None,
    typer.Option(
        "--imatrix", metavar="FILE", help="Quantize by this importance matrix (llama-imatrix's GGUF or .dat)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Requantize = Annotated[bool, typer.Option("--requantize", help="Go on from an already quantized model.")]
Kld = Annotated[
    bool, typer.Option("--kld", help="Compare with the base model too: KL divergence and its kin.")
]
Threads = Annotated[int, typer.Option(min=0, max=1024, help="Threads; 0 is one per physical core.")]
Corpus = Annotated[
    Path | None,
    typer.Option(
        metavar="TEXT",
        help="Evaluation text; default: WikiText-2, fetched once from the Hugging Face Hub, "
        "or Python's own help texts where that fails.",
    ),
]
Chunks = Annotated[int, typer.Option(min=1, max=1_000_000, help="Chunks of the text to score.")]
Ctx = Annotated[int, typer.Option(min=8, max=1 << 24, help="Tokens in a chunk.")]
GpuLayers = Annotated[int, typer.Option(min=-1, max=100_000, help="Layers to offload to a GPU; -1 is all.")]
_FIT_CTX_HELP = "Context length that the memory is told for; at most the model's own."
FitCtx = Annotated[int, typer.Option("--fit-ctx", min=1, max=1 << 24, help=_FIT_CTX_HELP)]
PlanCtx = Annotated[int, typer.Option("--ctx", "--fit-ctx", min=1, max=1 << 24, help=_FIT_CTX_HELP)]
KvType = Annotated[
    str,
    typer.Option(
        "--kv-type",
        metavar="TYPE",
        help="Type of the KV cache that the memory is told for (F16, Q8_0, Q4_0 …); K/V for two of them.",
    ),
]

Types = Annotated[
    str | None,
    typer.Option(metavar="TYPES", help="Types, separated by commas (Q8_0,Q5_K,Q4_0)."),
]
By = Annotated[
    Granularity, typer.Option("--by", help="Whether each tensor has a type of its own, or each block.")
]
Pin = Annotated[
    list[str] | None,
    typer.Option(
        "--pin", metavar="PATTERN=TYPE", help="Keep tensors at a type (blk.*.attn_v=Q8_0); repeatable."
    ),
]
AtLeast = Annotated[
    list[str] | None,
    typer.Option(
        "--at-least",
        metavar="PATTERN=TYPE",
        help="Give tensors no fewer bits than a type's; can be repeated.",
    ),
]
Same = Annotated[
    list[str] | None,
    typer.Option(
        "--same",
        metavar="ROLES",
        help="One type for these in each block (attn_q,attn_k,attn_v); can be repeated.",
    ),
]
