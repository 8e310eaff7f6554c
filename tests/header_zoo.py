"""Headers of models that llama-quantize's rules tell apart: sparse files that take no disk."""

from __future__ import annotations

from pathlib import Path

from gguf_files import llama_tensors, write_header

_EXPERTS = {"8 experts": (8, 8), "8 experts, shared heads": (8, 2), "4 experts": (4, 8), "2 experts": (2, 8)}

ZOO_NAMES = (
    "own heads",
    "tied, 4 heads share",
    "8 heads share",
    "rows of 576",
    "rows of 100",
    "rows of 64 and 128",
    *_EXPERTS,
    "70B",
    "65B",
    "qwen2 of 80 blocks",
    "falcon",
    "gpt2",
    "odd names",
    "first block shares heads",
    "first block without attention",
)


def write_zoo(folder: Path) -> dict[str, Path]:
    """Write every header, and return the paths by what the model is."""
    zoo = {
        "own heads": _llama(folder, blocks=8, heads=8, kv_heads=8),
        "tied, 4 heads share": _llama(folder, blocks=16, heads=8, kv_heads=2, tied=True),
        "8 heads share": _llama(folder, blocks=17, heads=8, kv_heads=1),
        "rows of 576": _llama(folder, blocks=30, width=576, ffn=1536, heads=9, kv_heads=3, tied=True),
        "rows of 100": _llama(folder, blocks=3, width=100, ffn=90, heads=4, kv_heads=2),
        "rows of 64 and 128": _llama(folder, blocks=9, width=128, ffn=320, heads=4, kv_heads=4),
        "70B": _llama(folder, blocks=80, heads=8, kv_heads=1),
        "65B": _llama(folder, blocks=80, heads=8, kv_heads=8),
        "qwen2 of 80 blocks": _llama(folder, "qwen2", blocks=80, heads=8, kv_heads=8, bias=True),
        "falcon": _fused(folder, "falcon", blocks=32),
        "gpt2": _fused(folder, "gpt2", blocks=12, more={"position_embd.weight": (64, 256)}),
        "odd names": _llama(folder, blocks=2, heads=8, kv_heads=8, more=_odd_tensors()),
    }
    per_block = {"first block shares heads": [1, *[8] * 11], "first block without attention": [0, *[1] * 11]}
    for name, kv_heads_per_block in per_block.items():
        zoo[name] = _llama(folder, blocks=12, heads=8, kv_heads=1, kv_heads_per_block=kv_heads_per_block)
    for name, (experts, kv_heads) in _EXPERTS.items():
        zoo[name] = _llama(folder, blocks=12, heads=8, kv_heads=kv_heads, experts=experts)
    return {name: zoo[name] for name in ZOO_NAMES}


def _llama(
    folder: Path,
    architecture: str = "llama",
    *,
    blocks: int,
    heads: int,
    kv_heads: int,
    width: int = 256,
    ffn: int = 512,
    tied: bool = False,
    experts: int = 0,
    bias: bool = False,
    kv_heads_per_block: list[int] | None = None,
    more: dict[str, tuple[int, ...]] | None = None,
) -> Path:
    sizes = {"blocks": blocks, "width": width, "ffn": ffn, "heads": heads, "kv_heads": kv_heads}
    tensors = llama_tensors(**sizes, vocab=64, tied=tied, experts=experts, bias=bias) | (more or {})
    path = folder / f"{len(list(folder.iterdir()))}.gguf"
    sizes["kv_heads"] = kv_heads_per_block or kv_heads
    return write_header(path, architecture, tensors, **sizes, experts=experts, vocab=64)


def _fused(
    folder: Path, architecture: str, *, blocks: int, more: dict[str, tuple[int, ...]] | None = None
) -> Path:
    """A model with one tensor for query, key and value, and no gate."""
    tensors = {"token_embd.weight": (64, 256), "output_norm.weight": (256,), "output.weight": (64, 256)}
    tensors |= more or {}
    for block in range(blocks):
        prefix = f"blk.{block}."
        tensors |= {
            prefix + "attn_norm.weight": (256,),
            prefix + "attn_qkv.weight": (768, 256),
            prefix + "attn_output.weight": (256, 256),
            prefix + "ffn_up.weight": (512, 256),
            prefix + "ffn_down.weight": (256, 512),
        }
    path = folder / f"{architecture}.gguf"
    sizes = {"blocks": blocks, "width": 256, "ffn": 512, "heads": 4, "kv_heads": 4}
    return write_header(path, architecture, tensors, **sizes, vocab=64)


def _odd_tensors() -> dict[str, tuple[int, ...]]:
    """Tensors of other architectures, which llama-quantize knows by name alone."""
    never = [
        "attn_sub_norm",
        "ffn_gate_inp",
        "ffn_gate_tid2eid",
        "altup_router",
        "laurel_l",
        "ssm_conv1d",
        "shortconv.conv",
        "indexer.k_proj",
        "indexer.q_proj",
        "time_mix_first",
        "time_mix_w0",
        "time_mix_w1",
        "time_mix_w2",
        "time_mix_v0",
        "time_mix_v1",
        "time_mix_v2",
        "time_mix_a0",
        "time_mix_a1",
        "time_mix_a2",
        "time_mix_g1",
        "time_mix_g2",
        "time_mix_decay_w1",
        "time_mix_decay_w2",
        "time_mix_lerp_fused",
        "attn_rel_b",
    ]
    also = [
        "attn_kv_b",
        "attn_qkv",
        "attn_q_a",
        "attn_kv_a_mqa",
        "ssm_in",
        "ssm_out",
        "ffn_gate_up_exps",
        "ffn_down_shexp",
    ]
    outside = [
        "per_layer_token_embd",
        "per_layer_model_proj",
        "v.position_embd",
        "sam.pos_embd",
        "sam.neck.0",
        "sam.net_2",
        "v.rel_pos_h",
        "v.patch_embd",
        "v.patch_merger",
        "a.rvq.codebook",
        "mm.a.code_embd",
        "cls",
        "rope_freqs",
        "Odd.Case",
    ]
    tensors = {f"blk.1.{role}.weight": (32, 256) for role in (*never, *also)}
    tensors |= {f"{role}.weight": (32, 256) for role in outside}
    # 10 sorts before 9 as text; one row counts as one dimension; a name need not end in .weight.
    return tensors | {
        "blk.10.attn_v.weight": (32, 256),
        "blk.9.attn_v.weight": (32, 256),
        "blk.0.one_row.weight": (1, 256),
        "blk.0.one_column.weight": (256, 1),
        "blk.0.scale": (32, 256),
        "blk.0.bare_weight": (32, 256),
        "blk.0.weights": (32, 256),
    }
