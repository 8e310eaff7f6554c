"""GGUF files for tests: small models that really run, headers of real architectures, and damaged ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

_WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "was",
    "for",
    "on",
    "that",
    "with",
    "as",
    "by",
    "at",
    "from",
    "it",
    "an",
    "be",
    "this",
    "which",
]


def write_tiny_llama(
    path: Path,
    *,
    blocks: int = 4,
    width: int = 64,
    ffn: int = 96,
    heads: int = 4,
    kv_heads: int = 2,
    tied: bool = True,
    experts: int = 0,
    dtype: type = np.float16,
    seed: int = 1,
    metadata_only: bool = False,
    tensors_per_part: int = 0,
    chat_template: str = "",
) -> Path:
    """A random llama model with its own byte-level vocabulary, which llama.cpp loads and runs in no time.

    With `tensors_per_part` it is split; the path of the first part is returned.
    """
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=tensors_per_part)
    tokens = add_byte_vocabulary(writer)
    _add_hyperparameters(writer, blocks, width, ffn, heads, kv_heads)
    if chat_template:
        writer.add_chat_template(chat_template)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
    if not metadata_only:
        random = np.random.default_rng(seed)
        shapes = llama_tensors(blocks, width, ffn, heads, kv_heads, tokens, tied=tied, experts=experts)
        for name, shape in shapes.items():
            if len(shape) == 1:
                writer.add_tensor(name, np.ones(shape, np.float32))
            else:
                scale = 0.6 / np.sqrt(shape[-1])
                writer.add_tensor(name, (random.standard_normal(shape) * scale).astype(dtype))
    write_file(writer)
    return min(path.parent.glob(f"{path.stem}-00001-of-*.gguf")) if tensors_per_part else path


def write_tiny_gemma3n(path: Path, blocks: int = 22, width: int = 64, seed: int = 3) -> Path:
    """A random Gemma 3n model: blocks that read the tokens again, that slide, and that share keys and values.

    From block 20 on they attend to what earlier blocks have put into the cache; every fifth block sees all of
    the context and has its own RoPE base; each block takes an embedding of the token beside its hidden state.
    """
    vocab, heads, kv_heads, ffn, per_layer, inputs, rank = 258, 4, 2, 96, 256, 4, 64
    writer = gguf.GGUFWriter(path, "gemma3n")
    add_byte_vocabulary(writer)
    _add_hyperparameters(writer, blocks, width, ffn, heads, kv_heads)
    writer.add_sliding_window(32)
    random, head = np.random.default_rng(seed), width // heads
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (vocab, width),
        "per_layer_token_embd": (vocab, per_layer * blocks),
        "per_layer_model_proj": (per_layer * blocks, width),
        "per_layer_proj_norm": (per_layer,),
        "altup_proj": (inputs - 1, width, width),
        "altup_unembd_proj": (inputs - 1, width, width),
        "output_norm": (width,),
    }
    roles: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"), (width,)),
        **dict.fromkeys(("post_norm", "laurel_post_norm", "altup_correct_scale"), (width,)),
        "altup_router_norm": (width,),
        "attn_q": (width, width),
        **dict.fromkeys(("attn_k", "attn_v"), (kv_heads * head, width)),
        "attn_output": (width, width),
        **dict.fromkeys(("attn_q_norm", "attn_k_norm"), (head,)),
        **dict.fromkeys(("ffn_gate", "ffn_up"), (ffn, width)),
        "ffn_down": (width, ffn),
        "inp_gate": (per_layer, width),
        "proj": (width, per_layer),
        "altup_correct_coef": (inputs, inputs),
        "altup_predict_coef": (inputs * inputs, inputs),
        "altup_router": (inputs, width),
        "laurel_l": (rank, width),
        "laurel_r": (width, rank),
    }
    shapes |= {f"blk.{block}.{role}": shape for block in range(blocks) for role, shape in roles.items()}
    for name, shape in shapes.items():
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", np.ones(shape, np.float32))
        else:
            dtype = np.float32 if "altup" in name else np.float16
            weights = random.standard_normal(shape) * 0.6 / np.sqrt(shape[-1])
            writer.add_tensor(f"{name}.weight", weights.astype(dtype))
    write_file(writer)
    return path


def llama_tensors(
    blocks: int,
    width: int,
    ffn: int,
    heads: int,
    kv_heads: int,
    vocab: int,
    *,
    tied: bool = True,
    experts: int = 0,
    bias: bool = False,
) -> dict[str, tuple[int, ...]]:
    """Tensor names and NumPy shapes (rows first) of a llama-like model."""
    kv = width // heads * kv_heads
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocab, width), "output_norm.weight": (width,)}
    if not tied:
        shapes["output.weight"] = (vocab, width)
    for block in range(blocks):
        prefix = f"blk.{block}."
        shapes |= {prefix + "attn_norm.weight": (width,), prefix + "ffn_norm.weight": (width,)}
        for role, rows in (("attn_q", width), ("attn_k", kv), ("attn_v", kv)):
            shapes[f"{prefix}{role}.weight"] = (rows, width)
            if bias:
                shapes[f"{prefix}{role}.bias"] = (rows,)
        shapes[prefix + "attn_output.weight"] = (width, width)
        if experts:
            shapes[prefix + "ffn_gate_inp.weight"] = (experts, width)
            shapes[prefix + "ffn_gate_exps.weight"] = (experts, ffn, width)
            shapes[prefix + "ffn_up_exps.weight"] = (experts, ffn, width)
            shapes[prefix + "ffn_down_exps.weight"] = (experts, width, ffn)
        else:
            shapes[prefix + "ffn_gate.weight"] = (ffn, width)
            shapes[prefix + "ffn_up.weight"] = (ffn, width)
            shapes[prefix + "ffn_down.weight"] = (width, ffn)
    return shapes


def write_header(
    path: Path,
    architecture: str,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    blocks: int,
    width: int,
    ffn: int,
    heads: int,
    kv_heads: int | list[int],
    experts: int = 0,
    vocab: int = 0,
) -> Path:
    """A model of any size that has a header and no bytes of weights: a sparse file, which takes no disk."""
    writer = gguf.GGUFWriter(path, architecture)
    _add_hyperparameters(writer, blocks, width, ffn, heads, kv_heads)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
    if vocab:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list([f"t{i}" for i in range(vocab)])
    return write_sparse(writer, path, shapes)


def write_sparse(writer: gguf.GGUFWriter, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """Write what a writer was given, and room for weights, F16 or in one dimension F32, that take no disk."""
    size = 0
    for name, shape in shapes.items():
        dtype = np.dtype(np.float32 if len(shape) == 1 else np.float16)
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        writer.add_tensor_info(name, shape, dtype, n_bytes)
        size += -(-n_bytes // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    header = -(-path.stat().st_size // 32) * 32
    with path.open("r+b") as file:
        file.truncate(header + size)
    return path


def tiny_text(words: int = 6000, seed: int = 2) -> str:
    """English-looking text, the same for the same seed."""
    random = np.random.default_rng(seed)
    return " ".join(_WORDS[i] for i in random.integers(len(_WORDS), size=words)) + "\n"


def add_byte_vocabulary(writer: gguf.GGUFWriter, unused: int = 0) -> int:
    """A GPT-2 vocabulary of the 256 bytes, no merges but one, and an end token; returns its size."""
    tokens = [*_byte_characters(), "Ġt", "<|endoftext|>", *(f"<unused{i}>" for i in range(unused))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL] * (1 + unused))
    writer.add_token_merges(["Ġ t"])
    writer.add_eos_token_id(257)
    writer.add_bos_token_id(257)
    writer.add_add_bos_token(False)
    return len(tokens)


def _byte_characters() -> list[str]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def _add_hyperparameters(
    writer: gguf.GGUFWriter, blocks: int, width: int, ffn: int, heads: int, kv_heads: int | list[int]
) -> None:
    writer.add_name("tiny test model")
    writer.add_block_count(blocks)
    writer.add_context_length(2048)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)  # falcon and gpt2 ask for this one
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(width // heads)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def write_file(writer: gguf.GGUFWriter) -> None:
    """Write what a writer was given, and close it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
