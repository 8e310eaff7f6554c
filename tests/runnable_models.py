"""Small random models of the kinds that need memory in their own ways; llama.cpp loads and runs them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf_files import add_byte_vocabulary, llama_tensors, write_file

_WIDTH, _FFN, _HEADS, _KV_HEADS, _HEAD, _BLOCKS = 256, 512, 4, 2, 64, 4
_STATE = {"ssm.conv_kernel": 4, "ssm.inner_size": 512, "ssm.state_size": 16, "ssm.time_step_rank": 32}
_KEPT_IN_F32 = ("conv1d.weight", "conv.weight", "ssm_a")
_KV_HEADS_OF_A_HYBRID = [0, 2, 0, 2]

RUNNABLE = (
    "llama",
    "llama, tied",
    "llama, experts",
    "qwen2",
    "gemma3 with sliding windows",
    "deepseek2 with latent attention",
    "gpt2",
    "mamba, recurrent",
    "lfm2, half of it recurrent",
    "jamba, half of it recurrent",
)


def write_runnable(folder: Path, kind: str) -> Path:
    """Write the model of one of the kinds in RUNNABLE."""
    path = folder / f"{kind}.gguf".replace(" ", "-").replace(",", "")
    write = {
        "llama": lambda: _write_llama(path),
        "llama, tied": lambda: _write_llama(path, tied=True),
        "llama, experts": lambda: _write_llama(path, experts=4),
        "qwen2": lambda: _write_llama(path, "qwen2", tied=True, bias=True),
        "gemma3 with sliding windows": lambda: _write_gemma3(path),
        "deepseek2 with latent attention": lambda: _write_deepseek2(path),
        "gpt2": lambda: _write_gpt2(path),
        "mamba, recurrent": lambda: _write_mamba(path),
        "lfm2, half of it recurrent": lambda: _write_lfm2(path),
        "jamba, half of it recurrent": lambda: _write_jamba(path),
    }
    write[kind]()
    return path


def _write_llama(
    path: Path, architecture: str = "llama", *, tied: bool = False, experts: int = 0, bias: bool = False
) -> None:
    model = _Model(path, architecture)
    if experts:
        model.keys({"expert_count": experts, "expert_used_count": 2})
    sizes = (_BLOCKS, _WIDTH, _FFN, _HEADS, _KV_HEADS, model.vocab)
    model.write(llama_tensors(*sizes, tied=tied, experts=experts, bias=bias))


def _write_gemma3(path: Path) -> None:
    """Five blocks of six see a window of 512 tokens; here, with six blocks, one sees all."""
    blocks = 6
    model = _Model(path, "gemma3", blocks=blocks)
    model.keys(
        {"attention.sliding_window": 512, "attention.key_length": _HEAD, "attention.value_length": _HEAD}
    )
    tensors = llama_tensors(blocks, _WIDTH, _FFN, _HEADS, _KV_HEADS, model.vocab)
    for block in range(blocks):
        for norm, width in (
            ("attn_q_norm", _HEAD),
            ("attn_k_norm", _HEAD),
            ("post_attention_norm", _WIDTH),
            ("post_ffw_norm", _WIDTH),
        ):
            tensors[f"blk.{block}.{norm}.weight"] = (width,)
    model.write(tensors)


def _write_deepseek2(path: Path) -> None:
    """Multi-head latent attention: the cache holds one latent vector a token, for keys and values alike."""
    latent, rope, q_latent = 128, 32, 64
    model = _Model(path, "deepseek2", kv_heads=1)
    model.keys(
        {
            "attention.q_lora_rank": q_latent,
            "attention.kv_lora_rank": latent,
            "attention.key_length": latent + rope,
            "attention.value_length": latent,
            "attention.key_length_mla": _HEAD,
            "attention.value_length_mla": _HEAD,
            "rope.dimension_count": rope,
            "leading_dense_block_count": _BLOCKS,
            "expert_feed_forward_length": _FFN,
            "expert_shared_count": 1,
            "expert_count": 4,
            "expert_used_count": 2,
        }
    )
    tensors = _outside(model.vocab)
    for block in range(_BLOCKS):
        prefix = f"blk.{block}."
        tensors |= {
            prefix + "attn_norm.weight": (_WIDTH,),
            prefix + "attn_q_a.weight": (q_latent, _WIDTH),
            prefix + "attn_q_a_norm.weight": (q_latent,),
            prefix + "attn_q_b.weight": (_HEADS * _HEAD, q_latent),
            prefix + "attn_kv_a_mqa.weight": (latent + rope, _WIDTH),
            prefix + "attn_kv_a_norm.weight": (latent,),
            prefix + "attn_k_b.weight": (_HEADS, latent, _HEAD - rope),
            prefix + "attn_v_b.weight": (_HEADS, _HEAD, latent),
            prefix + "attn_output.weight": (_WIDTH, _HEADS * _HEAD),
        } | _ffn(prefix)
    model.write(tensors)


def _write_gpt2(path: Path) -> None:
    model = _Model(path, "gpt2", kv_heads=_HEADS)
    tensors = _outside(model.vocab) | {"position_embd.weight": (2048, _WIDTH), "output_norm.bias": (_WIDTH,)}
    for block in range(_BLOCKS):
        for role, rows, columns in (
            ("attn_qkv", 3 * _WIDTH, _WIDTH),
            ("attn_output", _WIDTH, _WIDTH),
            ("ffn_up", _FFN, _WIDTH),
            ("ffn_down", _WIDTH, _FFN),
        ):
            tensors[f"blk.{block}.{role}.weight"] = (rows, columns)
            tensors[f"blk.{block}.{role}.bias"] = (rows,)
        for norm in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{block}.{norm}.weight"] = tensors[f"blk.{block}.{norm}.bias"] = (_WIDTH,)
    model.write(tensors)


def _write_mamba(path: Path) -> None:
    model = _Model(path, "mamba", heads=0, kv_heads=0)
    model.keys(_STATE)
    tensors = _outside(model.vocab)
    for block in range(_BLOCKS):
        tensors |= _mamba(f"blk.{block}.") | {f"blk.{block}.attn_norm.weight": (_WIDTH,)}
    model.write(tensors)


def _write_jamba(path: Path) -> None:
    model = _Model(path, "jamba", kv_heads=_KV_HEADS_OF_A_HYBRID)
    model.keys(_STATE)
    tensors = _outside(model.vocab)
    for block, kv_heads in enumerate(_KV_HEADS_OF_A_HYBRID):
        prefix = f"blk.{block}."
        norms = {f"{prefix}ssm_{of}_norm.weight": (n,) for of, n in (("dt", 32), ("b", 16), ("c", 16))}
        tensors |= {prefix + "attn_norm.weight": (_WIDTH,)} | _ffn(prefix)
        tensors |= _attention(prefix) if kv_heads else _mamba(prefix) | norms
    model.write(tensors)


def _write_lfm2(path: Path) -> None:
    model = _Model(path, "lfm2", kv_heads=_KV_HEADS_OF_A_HYBRID)
    model.keys({"shortconv.l_cache": 3})
    tensors = {"token_embd.weight": (model.vocab, _WIDTH), "token_embd_norm.weight": (_WIDTH,)}
    for block, kv_heads in enumerate(_KV_HEADS_OF_A_HYBRID):
        prefix = f"blk.{block}."
        tensors |= {prefix + "attn_norm.weight": (_WIDTH,)} | _ffn(prefix)
        if kv_heads:
            norms = {f"{prefix}attn_{of}_norm.weight": (_HEAD,) for of in "qk"}
            tensors |= _attention(prefix) | norms
        else:
            tensors |= {
                prefix + "shortconv.conv.weight": (_WIDTH, 3),
                prefix + "shortconv.in_proj.weight": (3 * _WIDTH, _WIDTH),
                prefix + "shortconv.out_proj.weight": (_WIDTH, _WIDTH),
            }
    model.write(tensors)


def _outside(vocab: int) -> dict[str, tuple[int, ...]]:
    return {"token_embd.weight": (vocab, _WIDTH), "output_norm.weight": (_WIDTH,)}


def _attention(prefix: str) -> dict[str, tuple[int, ...]]:
    rows = {"attn_q": _WIDTH, "attn_k": _KV_HEADS * _HEAD, "attn_v": _KV_HEADS * _HEAD, "attn_output": _WIDTH}
    return {f"{prefix}{role}.weight": (n, _WIDTH) for role, n in rows.items()}


def _ffn(prefix: str) -> dict[str, tuple[int, ...]]:
    return {
        prefix + "ffn_norm.weight": (_WIDTH,),
        prefix + "ffn_gate.weight": (_FFN, _WIDTH),
        prefix + "ffn_up.weight": (_FFN, _WIDTH),
        prefix + "ffn_down.weight": (_WIDTH, _FFN),
    }


def _mamba(prefix: str) -> dict[str, tuple[int, ...]]:
    inner, state, rank = 2 * _WIDTH, _STATE["ssm.state_size"], _STATE["ssm.time_step_rank"]
    return {
        prefix + "ssm_in.weight": (2 * inner, _WIDTH),
        prefix + "ssm_conv1d.weight": (inner, 4),
        prefix + "ssm_conv1d.bias": (inner,),
        prefix + "ssm_x.weight": (rank + 2 * state, inner),
        prefix + "ssm_dt.weight": (inner, rank),
        prefix + "ssm_dt.bias": (inner,),
        prefix + "ssm_a": (inner, state),
        prefix + "ssm_d": (inner,),
        prefix + "ssm_out.weight": (_WIDTH, inner),
    }


class _Model:
    """A model being written: its keys, then its tensors."""

    def __init__(
        self,
        path: Path,
        architecture: str,
        *,
        blocks: int = _BLOCKS,
        heads: int = _HEADS,
        kv_heads: int | list[int] = _KV_HEADS,
    ) -> None:
        self._architecture = architecture
        self._writer = writer = gguf.GGUFWriter(path, architecture)
        self.vocab = add_byte_vocabulary(
            writer, unused=6
        )  # rows divide by 8, as the embedding of real models does
        writer.add_block_count(blocks)
        writer.add_context_length(2048)
        writer.add_embedding_length(_WIDTH)
        writer.add_feed_forward_length(_FFN)
        writer.add_head_count(heads)
        writer.add_head_count_kv(kv_heads)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_layer_norm_eps(1e-5)
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)

    def keys(self, keys: dict[str, Any]) -> None:
        """Add whole numbers under the architecture's own keys."""
        for key, value in keys.items():
            self._writer.add_uint32(f"{self._architecture}.{key}", value)

    def write(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Add the tensors, random, and write the file."""
        random = np.random.default_rng(1)
        for name, shape in shapes.items():
            whole = len(shape) == 1 or name.endswith(_KEPT_IN_F32)
            dtype = np.float32 if whole else np.float16
            scale = 0.6 / np.sqrt(shape[-1])
            self._writer.add_tensor(name, (random.standard_normal(shape) * scale).astype(dtype))
        write_file(self._writer)
