"""What was solved of a model, kept for later sessions: the frontier, and the recipe fitted to a budget."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.types import TensorType
from lqtui.solve.items import Item, Option, Problem
from lqtui.solve.knapsack import Solution
from lqtui.store.estimates import EstimatesKey
from lqtui.store.kept import load_kept, save_kept
from lqtui.workbench.budgets import Solved, Target, size_label, solved_plan
from lqtui.workbench.calibration import Calibration, Drawn

_VERSION = 1
"""Raised with every change to what is kept."""


class _Option(msgspec.Struct, frozen=True, array_like=True):
    type: TensorType
    bytes: int
    cost: float


class _Item(msgspec.Struct, frozen=True, array_like=True):
    names: tuple[str, ...]
    options: tuple[_Option, ...]


class _Problem(msgspec.Struct, frozen=True, array_like=True):
    items: tuple[_Item, ...]
    fixed_bytes: int


class _Solution(msgspec.Struct, frozen=True, array_like=True):
    """Which problem it solves, and the place of its pick among each item's options."""

    problem: int
    picks: tuple[int, ...]
    budget_bytes: int
    price: float
    gap: float


class _Solved(msgspec.Struct, frozen=True, array_like=True):
    file_bytes: int
    label: str
    has_room: bool
    solution: _Solution
    predicted_kld: float


class _Found(msgspec.Struct, frozen=True):
    problems: tuple[_Problem, ...]
    frontier: tuple[_Solution, ...]
    knee: int | None
    solved: _Solved | None


def save_found(folder: Path, key: EstimatesKey, drawn: Sequence[Drawn], solved: Solved | None) -> None:
    """Keep a frontier, and the recipe that was solved last, in place of those that were kept.

    Raises:
        StoreError: the folder cannot be made or written to, or the disk is full.
    """
    solutions = [point.solution for point in drawn]
    problems = list(
        {id(s.problem): s.problem for s in [*solutions, *([solved.solution] if solved else [])]}.values()
    )
    places = [_places(problem) for problem in problems]

    def kept(solution: Solution) -> _Solution:
        number = next(i for i, problem in enumerate(problems) if problem is solution.problem)
        picks = tuple(of_item[pick] for of_item, pick in zip(places[number], solution.picks, strict=True))
        return _Solution(number, picks, solution.budget_bytes, solution.price, solution.gap)

    found = _Found(
        tuple(_kept_problem(problem) for problem in problems),
        tuple(kept(solution) for solution in solutions),
        next((i for i, point in enumerate(drawn) if point.is_knee), None),
        _Solved(
            solved.target.file_bytes,
            solved.target.label,
            solved.target.has_room,
            kept(solved.solution),
            solved.predicted_kld,
        )
        if solved
        else None,
    )
    save_kept(folder, "found", _VERSION, key, found)


def recall_found(folder: Path, key: EstimatesKey, calibration: Calibration) -> None:
    """Give a calibration back what was solved in an earlier session; nothing where that cannot be trusted."""
    found = load_kept(folder, "found", _VERSION, key, _Found)
    if found is None:
        return
    shape, imatrix = calibration.told.model.shape, calibration.imatrix
    problems = [
        Problem(
            tuple(Item(item.names, tuple(Option(*_fields(o)) for o in item.options)) for item in kept.items),
            kept.fixed_bytes,
        )
        for kept in found.problems
    ]

    def solution_of(kept: _Solution) -> Solution:
        problem = problems[kept.problem]
        picks = zip(problem.items, kept.picks, strict=True)
        options = tuple(item.options[pick] for item, pick in picks)
        return Solution(problem, options, kept.budget_bytes, kept.price, kept.gap)

    with contextlib.suppress(
        RecipeError, IndexError, ValueError
    ):  # of a model that lqtui now takes otherwise
        points = [solution_of(kept) for kept in found.frontier]
        plans = [solved_plan(shape, point, size_label(point.bytes, 4), imatrix) for point in points]
        drawn = [
            Drawn(point, plan, i == found.knee)
            for i, (point, plan) in enumerate(zip(points, plans, strict=True))
        ]
        calibration.draw(drawn)
        if found.solved is not None:
            was = found.solved
            solution = solution_of(was.solution)
            plan = solved_plan(shape, solution, was.label, imatrix)
            measured = calibration.told.rows.get(plan.digest)
            target = Target(was.file_bytes, was.label, was.has_room)
            calibration.solved = Solved(target, plan, solution, was.predicted_kld, measured)


def _places(problem: Problem) -> list[dict[Option, int]]:
    return [{option: place for place, option in enumerate(item.options)} for item in problem.items]


def _kept_problem(problem: Problem) -> _Problem:
    items = (
        _Item(item.names, tuple(_Option(o.type, o.bytes, o.cost) for o in item.options))
        for item in problem.items
    )
    return _Problem(tuple(items), problem.fixed_bytes)


def _fields(option: _Option) -> tuple[TensorType, int, float]:
    return option.type, option.bytes, option.cost
