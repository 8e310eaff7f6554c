"""The order of evaluation: every node of the trie once, and every restart from a state that was kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lqtui.llama.prefixes import plan_steps

LEVELS = 5
paths = st.lists(st.tuples(*[st.sampled_from("ab")] * LEVELS), min_size=1, max_size=12)


def nodes(recipes: list[tuple[str, ...]]) -> int:
    """Nodes of the trie, where heads are always run."""
    return len({path[:length] for path in recipes for length in range(1, LEVELS)}) + len(recipes)


@given(paths)
def test_every_shared_level_is_computed_once(recipes: list[tuple[str, ...]]) -> None:
    steps = plan_steps(recipes, lambda depth: True)
    assert sorted(step.recipe for step in steps) == list(range(len(recipes)))
    assert sum(LEVELS - step.depth for step in steps) == nodes(recipes)


@given(paths, st.sets(st.integers(1, LEVELS - 1)))
def test_a_restart_finds_the_state_of_its_own_beginning(
    recipes: list[tuple[str, ...]], usable: set[int]
) -> None:
    states: dict[int, tuple[str, ...]] = {}
    for step in plan_steps(recipes, usable.__contains__):
        path = recipes[step.recipe]
        states = {depth: begun for depth, begun in states.items() if depth <= step.shared}
        assert step.depth == 0 or (step.depth in usable and states[step.depth] == path[: step.depth])
        assert all(depth > step.depth and depth in usable for depth in step.keep)
        states |= {depth: path[:depth] for depth in step.keep}


@given(paths, st.sets(st.integers(1, LEVELS - 1)))
def test_nothing_is_kept_that_no_later_step_restarts_from(
    recipes: list[tuple[str, ...]], usable: set[int]
) -> None:
    steps = plan_steps(recipes, usable.__contains__)
    for i, step in enumerate(steps):
        assert set(step.keep) <= {later.depth for later in steps[i + 1 :]}


@given(paths)
def test_the_first_recipe_is_walked_first(recipes: list[tuple[str, ...]]) -> None:
    first = plan_steps(recipes, lambda depth: True)[0]
    assert recipes[first.recipe] == recipes[0] and first.depth == 0
