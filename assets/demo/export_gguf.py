#!/usr/bin/env python3
"""Write a checkpoint of the demo model as a GGUF file that stock llama.cpp runs.

Matrices are written as F16 and norms as F32. The training code already turns neighbouring pairs in its rotary
position embedding, as llama.cpp's llama architecture does, so no row is moved.

Needs PyTorch and the Python package gguf.
"""

import argparse
import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from train import Shape

LICENCE = "MIT"
END_OF_TEXT = "<|endoftext|>"
ROLES = (
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)


def add_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    """Add the byte-level BPE that `tokenizers` saved at `path`, with GPT-2's pre-tokenizer."""
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    words = sorted(model["vocab"], key=model["vocab"].__getitem__)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    end = model["vocab"][END_OF_TEXT]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if word == END_OF_TEXT else gguf.TokenType.NORMAL for word in words]
    )
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)


def add_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """Add the model's name, origin and dimensions."""
    writer.add_name("lqtui demo 24")
    writer.add_author("The lqtui authors")
    writer.add_license(LICENCE)
    writer.add_description(
        "A small English language model of 24 blocks, trained from scratch on free documentation; "
        "made to be quantized and measured, not to be talked to."
    )
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.blocks)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads_kv)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_vocab_size(shape.vocabulary)


def export(checkpoint: Path, tokenizer: Path, out: Path) -> None:
    """Write the GGUF file; the same checkpoint always gives the same bytes."""
    state = torch.load(checkpoint, map_location="cpu")
    shape = Shape(**state["shape"])
    weights: dict[str, torch.Tensor] = state["model"]
    writer = gguf.GGUFWriter(out, "llama")
    add_metadata(writer, shape)
    add_tokenizer(writer, tokenizer)

    def add(name: str, tensor: torch.Tensor) -> None:
        values = tensor.float().numpy()
        if values.ndim > 1:
            values = values.astype(np.float16)
            assert np.isfinite(values).all(), f"{name} holds a value that F16 cannot."
        writer.add_tensor(name, np.ascontiguousarray(values))

    add("token_embd.weight", weights["token_embd"])
    for i in range(shape.blocks):
        for role in ROLES:
            add(f"blk.{i}.{role}.weight", weights[f"blocks.{role}"][i])
    add("output_norm.weight", weights["output_norm"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Export, and print the file's size and SHA-256."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("work"), help="folder of the training run (default: work)"
    )
    parser.add_argument("--name", default="checkpoint", help="name of the checkpoint in that folder")
    parser.add_argument(
        "--out", type=Path, help="file to write (default: lqtui-demo.gguf in the work folder)"
    )
    options = parser.parse_args()
    out: Path = options.out or options.work / "lqtui-demo.gguf"
    export(options.work / f"{options.name}.pt", options.work / "tokenizer.json", out)
    print(f"{out}: {out.stat().st_size:,} bytes, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
