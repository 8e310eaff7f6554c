"""Problems to solve: random ones that can be solved by trying everything, and those of models."""

from __future__ import annotations

import itertools
import math
import random

from hypothesis import strategies as st

from lqtui.recipe.rules import quantizable_tensors
from lqtui.recipe.shape import ModelShape, TensorInfo
from lqtui.recipe.types import TARGET_TYPES, TensorType
from lqtui.solve.items import Costs, Item, Option, Problem

_SENSITIVITY = {"attn_q": 0.3, "attn_k": 0.3, "attn_v": 3.0, "attn_output": 0.6, "ffn_down": 1.5}


def problem(*items: list[tuple[int, float]], fixed_bytes: int = 0) -> Problem:
    """A problem of options as (bytes, cost), whose types only tell them apart."""
    return Problem(
        tuple(
            Item((f"tensor {i}",), tuple(map(Option, reversed(TARGET_TYPES), *zip(*options, strict=True))))
            for i, options in enumerate(items)
        ),
        fixed_bytes,
    )


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to 5 items of up to 4 options, on curves of every form, with many equals among them."""
    costs = draw(
        st.sampled_from(
            [st.integers(0, 9).map(lambda n: n / 8), st.floats(1e-7, 1.0), st.floats(-1e-3, 1e-3)]
        )
    )
    sizes = draw(st.sampled_from([st.integers(1, 6), st.integers(1, 10**9).map(lambda n: 32 * n)]))
    options = st.lists(st.tuples(sizes, costs), min_size=1, max_size=4)
    items = draw(st.lists(options, min_size=1, max_size=5))
    return problem(*map(sorted, items), fixed_bytes=draw(st.integers(0, 99)))


def least_cost(of: Problem, budget_bytes: int) -> float:
    """What the best recipe within a budget costs, found by trying all."""
    recipes = itertools.product(*(item.options for item in of.items))
    return min(
        math.fsum(option.cost for option in recipe)
        for recipe in recipes
        if of.fixed_bytes + sum(option.bytes for option in recipe) <= budget_bytes
    )


def llama_shape(
    blocks: int, width: int = 576, ffn: int = 1536, kv: int = 192, vocab: int = 49152, tied: bool = True
) -> ModelShape:
    """An F16 model of llama's tensors; as it is, SmolLM2's sizes with any number of blocks."""
    of_blocks = {
        "attn_q": (width, width),
        "attn_k": (width, kv),
        "attn_v": (width, kv),
        "attn_output": (width, width),
        "ffn_gate": (width, ffn),
        "ffn_up": (width, ffn),
        "ffn_down": (ffn, width),
    }
    tensors = [TensorInfo("token_embd.weight", (width, vocab), TensorType.F16)]
    if not tied:
        tensors.append(TensorInfo("output.weight", (width, vocab), TensorType.F16))
    for block in range(blocks):
        tensors.append(TensorInfo(f"blk.{block}.attn_norm.weight", (width,), TensorType.F32))
        tensors += [TensorInfo(f"blk.{block}.{r}.weight", ne, TensorType.F16) for r, ne in of_blocks.items()]
    return ModelShape("model", "llama", blocks, tuple(tensors), meta_bytes=1_000, file_bytes=0)


def made_up_costs(shape: ModelShape, seed: int) -> dict[str, dict[TensorType, float]]:
    """Costs of every type as those of models are: a quarter for each bit more, and different for each tensor.

    They are noisy, so that more bits may cost more.
    """
    chance = random.Random(seed)
    costs: dict[str, dict[TensorType, float]] = {}
    for tensor in quantizable_tensors(shape):
        own = 0.01 * _SENSITIVITY.get(tensor.role, 1.0) * math.exp(chance.gauss(0, 0.6))
        costs[tensor.name] = {
            type_: own * 4 ** (3 - type_.bits_per_weight) * math.exp(chance.gauss(0, 0.3))
            for type_ in TARGET_TYPES
        }
    return costs


def cost_of(shape: ModelShape, costs: Costs, effective: dict[str, TensorType]) -> float:
    """What tensors cost at their effective types, none at its own."""
    return math.fsum(
        costs[name][type_] for name, type_ in effective.items() if type_ is not shape.by_name[name].type
    )
