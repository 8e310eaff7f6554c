"""Headers of models that people quantize, with their real names and dimensions and no weights.

The dimensions are those of each model's published configuration, the names those that llama.cpp's converter
gives its tensors. The files are sparse: a model of 60 GB takes a few kilobytes of disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import gguf
from gguf_files import write_sparse

Shapes = dict[str, tuple[int, ...]]


class Real(NamedTuple):
    """A model: its architecture, sizes, keys beyond those that all have, and NumPy shapes (rows first)."""

    architecture: str
    blocks: int
    width: int
    heads: int
    kv_heads: int | list[int]
    ffn: int
    vocab: int
    block: Callable[[int], Shapes]
    tied: bool = False
    keys: Mapping[str, int | float] = {}

    @property
    def shapes(self) -> Shapes:
        """All its tensors."""
        shapes: Shapes = {"token_embd.weight": (self.vocab, self.width), "output_norm.weight": (self.width,)}
        if not self.tied:
            shapes["output.weight"] = (self.vocab, self.width)
        for number in range(self.blocks):
            for role, shape in self.block(number).items():
                ending = "" if "." in role else ".weight"
                shapes[f"blk.{number}.{role}{ending}"] = shape
        return shapes


def _attention(width: int, q: int, kv: int, *, norms: int = 0, bias: bool = False) -> Shapes:
    """Query, key and value of their own; `norms` is the length of a head whose q and k are normed."""
    shapes: Shapes = {
        "attn_norm": (width,),
        "attn_q": (q, width),
        "attn_k": (kv, width),
        "attn_v": (kv, width),
        "attn_output": (width, q),
    }
    if norms:
        shapes |= {"attn_q_norm": (norms,), "attn_k_norm": (norms,)}
    if bias:
        shapes |= {"attn_q.bias": (q,), "attn_k.bias": (kv,), "attn_v.bias": (kv,)}
    return shapes


def _mlp(width: int, ffn: int, ending: str = "") -> Shapes:
    return {
        f"ffn_gate{ending}": (ffn, width),
        f"ffn_up{ending}": (ffn, width),
        f"ffn_down{ending}": (width, ffn),
    }


def _experts(width: int, ffn: int, experts: int) -> Shapes:
    return {
        "ffn_gate_inp": (experts, width),
        "ffn_gate_exps": (experts, ffn, width),
        "ffn_up_exps": (experts, ffn, width),
        "ffn_down_exps": (experts, width, ffn),
    }


def _fused(width: int, qkv: int, up: int, ffn: int) -> Shapes:
    return {
        "attn_norm": (width,),
        "attn_qkv": (qkv, width),
        "attn_output": (width, width),
        "ffn_up": (up, width),
        "ffn_down": (width, ffn),
    }


def _dense(width: int, q: int, kv: int, ffn: int, **options: int) -> Callable[[int], Shapes]:
    attention = _attention(width, q, kv, norms=options.get("norms", 0), bias=bool(options.get("bias")))
    return lambda _: attention | {"ffn_norm": (width,)} | _mlp(width, ffn)


def _sparse(width: int, q: int, kv: int, ffn: int, experts: int, norms: int = 0) -> Callable[[int], Shapes]:
    attention = _attention(width, q, kv, norms=norms)
    return lambda _: attention | {"ffn_norm": (width,)} | _experts(width, ffn, experts)


def _gemma(width: int, q: int, kv: int, ffn: int, norms: int) -> Callable[[int], Shapes]:
    posts = dict.fromkeys(("post_attention_norm", "post_ffw_norm"), (width,))
    dense = _dense(width, q, kv, ffn, norms=norms)
    return lambda number: dense(number) | posts


def _deepseek2_lite(number: int) -> Shapes:
    width = 2048
    shapes: Shapes = {
        "attn_norm": (width,),
        "attn_q": (16 * 192, width),
        "attn_kv_a_mqa": (512 + 64, width),
        "attn_kv_a_norm": (512,),
        "attn_k_b": (16, 512, 128),
        "attn_v_b": (16, 128, 512),
        "attn_output": (width, 16 * 128),
        "ffn_norm": (width,),
    }
    if number == 0:
        return shapes | _mlp(width, 10944)
    return shapes | _experts(width, 1408, 64) | _mlp(width, 2816, "_shexp")


def _deepseek2_lite_before_mla(number: int) -> Shapes:
    """As files were converted before llama.cpp took keys and values apart."""
    shapes = {r: s for r, s in _deepseek2_lite(number).items() if r not in ("attn_k_b", "attn_v_b")}
    return shapes | {"attn_kv_b": (16 * 256, 512)}


def _gpt_oss(_: int) -> Shapes:
    width = ffn = 2880
    experts = 32
    return {
        **_attention(width, 4096, 512, bias=True),
        "post_attention_norm": (width,),
        "attn_output.bias": (width,),
        "attn_sinks": (64,),
        **_experts(width, ffn, experts),
        "ffn_gate_inp.bias": (experts,),
        "ffn_gate_exps.bias": (experts, ffn),
        "ffn_up_exps.bias": (experts, ffn),
        "ffn_down_exps.bias": (experts, width),
    }


def _glm4_air(number: int) -> Shapes:
    """The first block is dense, and the last predicts the token after next."""
    width = 4096
    shapes = _attention(width, 96 * 128, 8 * 128, bias=True) | {"post_attention_norm": (width,)}
    if number == 0:
        return shapes | _mlp(width, 10944)
    shapes |= _experts(width, 1408, 128) | _mlp(width, 1408, "_shexp") | {"exp_probs_b.bias": (128,)}
    if number == 46:
        shapes |= {
            "nextn.eh_proj.weight": (width, 2 * width),
            "nextn.embed_tokens.weight": (151552, width),
            "nextn.shared_head_head.weight": (151552, width),
            **dict.fromkeys(
                ("nextn.enorm.weight", "nextn.hnorm.weight", "nextn.shared_head_norm.weight"), (width,)
            ),
        }
    return shapes


def _mamba(_: int) -> Shapes:
    width, inner = 768, 1536
    return {
        "attn_norm": (width,),
        "ssm_in": (2 * inner, width),
        "ssm_conv1d": (inner, 4),
        "ssm_conv1d.bias": (inner,),
        "ssm_x": (48 + 32, inner),
        "ssm_dt": (inner, 48),
        "ssm_dt.bias": (inner,),
        "ssm_a": (inner, 16),
        "ssm_d": (inner,),
        "ssm_out": (width, inner),
    }


_LFM2_ATTENTION = (2, 5, 8, 10, 12, 14)


def _lfm2(number: int) -> Shapes:
    width = 1024
    own: Shapes = {
        "shortconv.conv": (width, 3),
        "shortconv.in_proj": (3 * width, width),
        "shortconv.out_proj": (width, width),
        "attn_norm": (width,),
    }
    if number in _LFM2_ATTENTION:
        own = _attention(width, 1024, 512, norms=64)
    return own | {"ffn_norm": (width,)} | _mlp(width, 4608)


_DEEPSEEK = {
    "attention.kv_lora_rank": 512,
    "attention.key_length": 576,
    "attention.value_length": 512,
    "attention.key_length_mla": 192,
    "attention.value_length_mla": 128,
    "leading_dense_block_count": 1,
    "expert_count": 64,
    "expert_used_count": 6,
    "expert_shared_count": 2,
    "expert_feed_forward_length": 1408,
}

REAL: dict[str, Real] = {
    "Llama-3.1-8B": Real("llama", 32, 4096, 32, 8, 14336, 128256, _dense(4096, 4096, 1024, 14336)),
    "Llama-3.2-1B": Real("llama", 16, 2048, 32, 8, 8192, 128256, _dense(2048, 2048, 512, 8192), tied=True),
    "Llama-2-70B": Real("llama", 80, 8192, 64, 8, 28672, 32000, _dense(8192, 8192, 1024, 28672)),
    "Mixtral-8x7B": Real(
        "llama",
        32,
        4096,
        32,
        8,
        14336,
        32000,
        _sparse(4096, 4096, 1024, 14336, 8),
        keys={"expert_count": 8, "expert_used_count": 2},
    ),
    "Qwen2-0.5B": Real("qwen2", 24, 896, 14, 2, 4864, 151936, _dense(896, 896, 128, 4864, bias=1), tied=True),
    "Qwen3-30B-A3B": Real(
        "qwen3moe",
        48,
        2048,
        32,
        4,
        6144,
        151936,
        _sparse(2048, 4096, 512, 768, 128, norms=128),
        keys={"expert_count": 128, "expert_used_count": 8, "expert_feed_forward_length": 768},
    ),
    "gemma-2-2b": Real("gemma2", 26, 2304, 8, 4, 9216, 256000, _gemma(2304, 2048, 1024, 9216, 0), tied=True),
    "gemma-3-1b": Real(
        "gemma3",
        26,
        1152,
        4,
        1,
        6912,
        262144,
        _gemma(1152, 1024, 256, 6912, 256),
        tied=True,
        keys={"attention.sliding_window": 512},
    ),
    "DeepSeek-V2-Lite": Real(
        "deepseek2",
        27,
        2048,
        16,
        1,
        10944,
        102400,
        _deepseek2_lite,
        keys=_DEEPSEEK,
    ),
    "DeepSeek-V2-Lite, converted early": Real(
        "deepseek2", 27, 2048, 16, 16, 10944, 102400, _deepseek2_lite_before_mla, keys=_DEEPSEEK
    ),
    "Phi-3-mini": Real("phi3", 32, 3072, 32, 32, 8192, 32064, lambda _: _fused(3072, 9216, 16384, 8192)),
    "falcon-7b": Real("falcon", 32, 4544, 71, 1, 18176, 65024, lambda _: _fused(4544, 4672, 18176, 18176)),
    "gpt-oss-20b": Real(
        "gpt-oss",
        24,
        2880,
        64,
        8,
        2880,
        201088,
        _gpt_oss,
        keys={
            "expert_count": 32,
            "expert_used_count": 4,
            "expert_feed_forward_length": 2880,
            "attention.sliding_window": 128,
            "attention.key_length": 64,
            "attention.value_length": 64,
        },
    ),
    "OLMoE-1B-7B": Real(
        "olmoe",
        16,
        2048,
        16,
        16,
        1024,
        50304,
        _sparse(2048, 2048, 2048, 1024, 64, norms=2048),
        keys={"expert_count": 64, "expert_used_count": 8},
    ),
    "GLM-4.5-Air": Real(
        "glm4moe",
        47,
        4096,
        96,
        8,
        10944,
        151552,
        _glm4_air,
        keys={
            "leading_dense_block_count": 1,
            "nextn_predict_layers": 1,
            "expert_count": 128,
            "expert_used_count": 8,
            "expert_shared_count": 1,
            "expert_feed_forward_length": 1408,
            "attention.key_length": 128,
            "attention.value_length": 128,
        },
    ),
    "c4ai-command-r": Real(
        "command-r", 40, 8192, 64, 64, 22528, 256000, _dense(8192, 8192, 8192, 22528), tied=True
    ),
    "mamba-130m": Real(
        "mamba",
        24,
        768,
        0,
        0,
        0,
        50280,
        _mamba,
        tied=True,
        keys={
            "ssm.conv_kernel": 4,
            "ssm.inner_size": 1536,
            "ssm.state_size": 16,
            "ssm.time_step_rank": 48,
        },
    ),
    "LFM2-350M": Real(
        "lfm2",
        16,
        1024,
        16,
        [8 if block in _LFM2_ATTENTION else 0 for block in range(16)],
        4608,
        65536,
        _lfm2,
        tied=True,
        keys={"shortconv.l_cache": 3},
    ),
}


def write_real(folder: Path) -> dict[str, Path]:
    """Write every header, and return the paths by the model's name."""
    return {name: _write(folder / f"{number}.gguf", real) for number, (name, real) in enumerate(REAL.items())}


def _write(path: Path, real: Real) -> Path:
    writer = gguf.GGUFWriter(path, real.architecture)
    writer.add_block_count(real.blocks)
    writer.add_context_length(4096)
    writer.add_embedding_length(real.width)
    writer.add_feed_forward_length(real.ffn)
    writer.add_head_count(real.heads)
    writer.add_head_count_kv(real.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    for key, value in real.keys.items():
        name = f"{real.architecture}.{key}"
        writer.add_uint32(name, value) if isinstance(value, int) else writer.add_float32(name, value)
    return write_sparse(writer, path, real.shapes)
