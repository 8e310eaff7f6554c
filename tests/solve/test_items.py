"""The choices of a model: bytes as in the file, types as llama-quantize writes them, and constraints."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from header_zoo import ZOO_NAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import resolve, with_types
from lqtui.recipe.rules import effective_types, fitting_type, quantizable_tensors
from lqtui.recipe.shape import ModelShape
from lqtui.recipe.types import TensorType
from lqtui.solve.constraints import Constraints
from lqtui.solve.errors import SolveError
from lqtui.solve.items import Problem, make_problem
from lqtui.solve.knapsack import solve
from tests.solve.problems import cost_of, llama_shape, made_up_costs

F16, Q8_0, Q6_K, Q5_0 = TensorType.F16, TensorType.Q8_0, TensorType.Q6_K, TensorType.Q5_0
Q4_K, Q4_0, Q2_K, IQ2_XXS = TensorType.Q4_K, TensorType.Q4_0, TensorType.Q2_K, TensorType.IQ2_XXS

TYPES = (F16, Q8_0, Q6_K, TensorType.Q5_K, Q4_K, TensorType.IQ4_XS, TensorType.Q3_K, Q2_K)
SHAPE = llama_shape(blocks=2, vocab=96)
NO_TYPE = IQ2_XXS
"""A type that needs an importance matrix."""


def types_of(problem: Problem, name: str) -> list[TensorType]:
    """The types that a tensor's item can be asked for."""
    return [option.type for option in problem.items[problem.position_of[name]].options]


@pytest.mark.parametrize("granularity", Granularity)
@pytest.mark.parametrize("name", ZOO_NAMES)
def test_a_recipe_has_the_bytes_and_the_cost_that_were_promised(
    name: str, granularity: Granularity, zoo_shapes: dict[str, ModelShape]
) -> None:
    shape = zoo_shapes[name]
    costs = made_up_costs(shape, seed=1)
    problem = make_problem(shape, TYPES, costs, granularity)
    for share in (0.0, 0.3, 1.0):
        budget = round(problem.smallest_bytes + share * (problem.largest_bytes - problem.smallest_bytes))
        best = solve(problem, budget)
        plan = resolve(shape, with_types(shape, "best", best.types))
        assert plan.file_bytes == best.bytes <= budget
        effective = {planned.name: planned.effective for planned in plan.tensors if planned.quantizable}
        assert best.cost == pytest.approx(cost_of(shape, costs, effective))
        assert not plan.missing_imatrix


def test_the_largest_recipe_is_the_base_model_where_its_type_is_a_candidate() -> None:
    problem = make_problem(SHAPE, TYPES, made_up_costs(SHAPE, seed=1))
    best = solve(problem, problem.largest_bytes)
    assert best.cost == 0.0
    assert resolve(SHAPE, with_types(SHAPE, "all", best.types)).unchanged


def keeps(asked: Mapping[str, TensorType], constraints: Constraints, granularity: Granularity) -> bool:
    """Whether types that tensors are asked for are as demanded."""
    shape = SHAPE.by_name
    effective = {name: fitting_type(shape[name], wanted) for name, wanted in asked.items()}
    ties: list[tuple[str, ...]] = list(constraints.ties)
    if granularity is Granularity.BLOCK:
        ties.append(("attn_q", "attn_k", "ffn_down"))
    return (
        all(asked[name] is wanted for name, wanted in constraints.pins.items())
        and all(
            effective[name].bits_per_weight >= floor.bits_per_weight
            for name, floor in constraints.floors.items()
        )
        and all(
            len({asked[f"blk.{block}.{role}.weight"] for role in tie}) == 1
            for block in range(2)
            for tie in ties
        )
    )


SMALL = ModelShape(
    SHAPE.name,
    SHAPE.architecture,
    2,
    tuple(
        t for t in SHAPE.tensors if t.block is None or t.role in ("attn_norm", "attn_q", "attn_k", "ffn_down")
    ),
    meta_bytes=1234,
    file_bytes=0,
)
NAMES = [tensor.name for tensor in quantizable_tensors(SMALL)]


@settings(max_examples=60)
@given(st.data())
def test_no_recipe_that_keeps_the_constraints_is_better(data: st.DataObject) -> None:
    candidates = (Q8_0, Q4_K, Q2_K)
    granularity = data.draw(st.sampled_from(Granularity))
    tie = st.sampled_from([("attn_q", "attn_k"), ("attn_k", "ffn_down")])
    pinned = st.just("token_embd.weight") if granularity is Granularity.BLOCK else st.sampled_from(NAMES)
    constraints = Constraints(
        pins=data.draw(st.dictionaries(pinned, st.sampled_from(candidates), max_size=2)),
        floors=data.draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from((Q5_0, Q6_K)), max_size=2)),
        ties=tuple(data.draw(st.lists(tie, max_size=2))),
    )
    costs = made_up_costs(SMALL, seed=data.draw(st.integers(0, 99)))
    recipes = [
        asked
        for types in itertools.product(candidates, repeat=len(NAMES))
        if keeps(asked := dict(zip(NAMES, types, strict=True)), constraints, granularity)
    ]
    if not recipes:
        with pytest.raises(SolveError):
            make_problem(SMALL, candidates, costs, granularity, constraints)
        return
    problem = make_problem(SMALL, candidates, costs, granularity, constraints)
    sizes_and_costs = []
    for asked in recipes:
        effective = {name: fitting_type(SMALL.by_name[name], wanted) for name, wanted in asked.items()}
        data_bytes = sum(t.bytes_as(effective.get(t.name, t.type)) for t in SMALL.tensors)
        size = SMALL.meta_bytes + data_bytes  # these tensors need no padding
        sizes_and_costs.append((size, cost_of(SMALL, costs, effective)))
    sizes = [size for size, _ in sizes_and_costs]
    assert (problem.smallest_bytes, problem.largest_bytes) == (min(sizes), max(sizes))
    budget = data.draw(st.integers(min(sizes), max(sizes)))
    best = solve(problem, budget)
    assert best.cost == pytest.approx(min(cost for size, cost in sizes_and_costs if size <= budget), rel=1e-9)


def test_types_that_fall_back_to_the_same_are_one_option() -> None:
    problem = make_problem(SHAPE, (Q4_K, Q5_0, Q2_K, TensorType.Q3_K), made_up_costs(SHAPE, seed=1))
    assert types_of(problem, "blk.0.attn_q.weight") == [Q4_0, Q5_0], "rows of 576 are no multiple of 256"
    assert types_of(problem, "blk.0.ffn_down.weight") == [Q2_K, TensorType.Q3_K, Q4_K, Q5_0]


def test_the_types_whose_costs_are_wanted_are_those_that_become_of_the_candidates() -> None:
    types = (F16, Q8_0, Q6_K, Q4_K, IQ2_XXS, TensorType.Q1_0)
    assert effective_types(SHAPE.by_name["blk.0.attn_q.weight"], types) == (
        F16,
        Q8_0,
        Q5_0,
        TensorType.IQ4_NL,
    )
    assert effective_types(SHAPE.by_name["blk.0.ffn_down.weight"], types) == (
        F16,
        Q8_0,
        Q6_K,
        Q4_K,
        TensorType.Q1_0,
    )


def test_a_block_is_asked_for_one_type_although_its_tensors_may_end_up_with_two() -> None:
    problem = make_problem(SHAPE, (Q8_0, Q4_K), made_up_costs(SHAPE, seed=1), Granularity.BLOCK)
    assert [len(item.names) for item in problem.items] == [1, 7, 7]
    assert types_of(problem, "blk.1.attn_q.weight") == [Q4_K, Q8_0]


def test_a_pinned_tensor_leaves_its_block() -> None:
    pins = {"blk.1.attn_v.weight": Q8_0}
    costs = made_up_costs(SHAPE, seed=1)
    problem = make_problem(SHAPE, (Q6_K, Q4_0), costs, Granularity.BLOCK, Constraints(pins))
    assert sorted(len(item.names) for item in problem.items) == [1, 1, 6, 7]
    assert types_of(problem, "blk.1.attn_v.weight") == [Q8_0], "which is not even a candidate"


def test_a_pin_holds_for_all_that_the_tensor_is_tied_to() -> None:
    constraints = Constraints(
        {"blk.1.attn_v.weight": Q8_0}, ties=(("attn_q", "attn_k"), ("attn_k", "attn_v"))
    )
    problem = make_problem(SHAPE, (Q5_0, Q4_0), made_up_costs(SHAPE, seed=1), constraints=constraints)
    assert types_of(problem, "blk.1.attn_q.weight") == [Q8_0]
    assert types_of(problem, "blk.0.attn_q.weight") == [Q4_0, Q5_0]


def test_a_floor_counts_the_bits_that_a_tensor_ends_up_with() -> None:
    floors = dict.fromkeys(("blk.0.attn_q.weight", "blk.0.ffn_down.weight"), Q5_0)
    problem = make_problem(SHAPE, (Q8_0, Q4_K), made_up_costs(SHAPE, 1), constraints=Constraints({}, floors))
    assert types_of(problem, "blk.0.attn_q.weight") == [Q5_0, Q8_0], "to which Q4_K falls back"
    assert types_of(problem, "blk.0.ffn_down.weight") == [Q8_0]


@pytest.mark.parametrize(
    ("constraints", "sentence"),
    [
        (
            Constraints(
                {"blk.0.attn_q.weight": Q8_0, "blk.0.attn_k.weight": Q4_0}, ties=(("attn_k", "attn_q"),)
            ),
            "blk.0.attn_q.weight is pinned to Q8_0 and blk.0.attn_k.weight to Q4_0, but attn_k, attn_q are "
            "tied to one type in each block",
        ),
        (
            Constraints({"blk.0.attn_q.weight": Q4_0}, {"blk.0.attn_q.weight": Q6_K}),
            "blk.0.attn_q.weight is pinned to Q4_0, but must have at least the bits of Q6_K",
        ),
        (
            Constraints(
                {"blk.0.attn_q.weight": Q4_0}, {"blk.0.attn_k.weight": Q6_K}, (("attn_q", "attn_k"),)
            ),
            "blk.0.attn_q.weight is pinned to Q4_0, but blk.0.attn_k.weight, which shares its type, must "
            "have at least the bits of Q6_K",
        ),
        (
            Constraints(floors={"blk.1.ffn_down.weight": F16}),
            "none of the candidate types (Q8_0, Q4_0) will do for blk.1.ffn_down.weight: it must "
            "have at least the bits of F16",
        ),
        (
            Constraints({"blk.0.ffn_down.weight": NO_TYPE}),
            "blk.0.ffn_down.weight is pinned to IQ2_XXS, which needs an importance matrix, or rows that "
            "divide into its blocks",
        ),
        (
            Constraints({"blk.9.attn_q.weight": Q8_0}),
            "blk.9.attn_q.weight is pinned, but model has no such tensor",
        ),
        (
            Constraints(floors={"blk.0.attn_norm.weight": Q8_0}),
            "blk.0.attn_norm.weight has a floor, but llama-quantize never changes that tensor",
        ),
        (
            Constraints(ties=(("attn_q", "attn_kv"),)),
            "attn_kv is tied, but no block of model has it; they have: attn_q, attn_k, attn_v, attn_output, "
            "ffn_gate, ffn_up, ffn_down",
        ),
    ],
)
def test_constraints_that_cannot_be_kept_are_named(constraints: Constraints, sentence: str) -> None:
    with pytest.raises(SolveError) as refused:
        make_problem(SHAPE, (Q8_0, Q4_0), made_up_costs(SHAPE, seed=1), constraints=constraints)
    assert str(refused.value) == sentence


def test_a_type_that_breaks_the_model_is_no_option_unless_none_is_left() -> None:
    costs = made_up_costs(SHAPE, seed=1)
    costs["blk.0.attn_v.weight"] = {Q8_0: 0.01, Q4_0: float("inf")}
    problem = make_problem(SHAPE, (Q8_0, Q4_0), costs)
    item = problem.items[problem.position_of["blk.0.attn_v.weight"]]
    assert [option.type for option in item.options] == [Q8_0]
    with pytest.raises(SolveError, match=r"blk\.0\.attn_v\.weight breaks the model at Q4_0"):
        make_problem(SHAPE, (Q4_0,), costs)


def test_candidates_that_all_need_an_importance_matrix_leave_a_block_nothing() -> None:
    with pytest.raises(SolveError) as refused:
        make_problem(SHAPE, (NO_TYPE,), made_up_costs(SHAPE, seed=1), Granularity.BLOCK)
    assert str(refused.value) == (
        "none of the candidate types (IQ2_XXS) will do for blk.0.attn_q.weight and the 6 that share its "
        "type: each is a type which needs an importance matrix, or rows that divide into its blocks"
    )


@pytest.mark.parametrize(
    ("cost", "sentence"),
    [
        (None, "what blk.0.attn_v.weight costs at Q4_0 is not known: measure it first"),
        (float("nan"), "what blk.0.attn_v.weight costs at Q4_0 is no number: measure it again"),
    ],
)
def test_a_cost_that_is_missing_or_no_number_is_named(cost: float | None, sentence: str) -> None:
    costs = made_up_costs(SHAPE, seed=1)
    costs["blk.0.attn_v.weight"] = {Q8_0: 0.01} | ({} if cost is None else {Q4_0: cost})
    with pytest.raises(SolveError) as refused:
        make_problem(SHAPE, (F16, Q8_0, Q4_0), costs)
    assert str(refused.value) == sentence
