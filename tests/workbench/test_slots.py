"""Recipes side by side and the history of each: whatever is done in whatever order, nothing gets mixed up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from model_shapes import llama_shape

from lqtui.recipe.presets import PRESET_NAMES, preset
from lqtui.recipe.recipe import base_recipe, resolve
from lqtui.recipe.types import TensorType
from lqtui.workbench import Change, OpenModel, Workbench, WorkbenchError
from lqtui.workbench.histories import LETTERS, Histories
from lqtui.workbench.history import MOST_EDITS, RecipeHistory
from lqtui.workbench.slots import Slots
from tests.workbench.bench_jobs import done, measure

SHAPE = llama_shape(3)
Q4, Q6, Q8 = TensorType.Q4_0, TensorType.Q6_K, TensorType.Q8_0


def slots() -> Slots:
    """Slots on a model of three blocks; no engine is needed for them."""
    made = Slots()
    made.model = OpenModel(Path("model.gguf"), SHAPE, "none")
    made._histories = Histories([RecipeHistory(resolve(SHAPE, base_recipe(SHAPE)))])
    return made


def names(bench: Slots) -> list[str]:
    return [slot.title + " *" * slot.modified for slot in bench.slots]


def digests(bench: Slots) -> list[str]:
    return [slot.plan.digest for slot in bench.slots]


# Slots


def test_an_edit_belongs_to_the_active_slot_and_so_does_taking_it_back() -> None:
    bench = slots()
    bench.use(preset("uniform_q4_0", SHAPE), "preset uniform_q4_0")
    assert bench.new_slot().letter == "B" and names(bench) == ["A uniform_q4_0", "B uniform_q4_0"]
    bench.assign(["blk.0.attn_v.weight"], Q8, "v of block 0 → Q8_0")
    a, b = digests(bench)
    assert a != b and names(bench) == ["A uniform_q4_0", "B custom *"]
    bench.switch_slot(0)
    assert bench.plan is bench.slots[0].plan and bench.undo_label == "preset uniform_q4_0"
    bench.undo()
    assert digests(bench) == [resolve(SHAPE, base_recipe(SHAPE)).digest, b]
    bench.switch_slot(1)
    assert [step.label for step in bench.history] == ["a copy of A", "v of block 0 → Q8_0"]
    bench.undo()
    assert digests(bench)[1] == a and not bench.modified and bench.undo() is None


def test_two_slots_that_differ_never_go_by_one_name() -> None:
    bench = slots()
    bench.assign(["blk.0.attn_v.weight"], Q8, "v")
    bench.new_slot()
    bench.assign(["blk.0.attn_v.weight"], Q4, "v")
    bench.assign(["blk.1.attn_v.weight"], Q4, "v")
    assert names(bench) == ["A custom *", "B custom-2 *"]


def test_nine_slots_are_the_most_and_one_the_least_and_letters_stay_with_their_recipes() -> None:
    bench = slots()
    with pytest.raises(WorkbenchError, match="the only slot"):
        bench.close_slot()
    assert [bench.new_slot().letter for _ in LETTERS[1:]] == list(LETTERS[1:])
    with pytest.raises(WorkbenchError, match="all 9 slots are taken, A to I; close one"):
        bench.new_slot()
    bench.switch_slot(4)
    assert bench.close_slot(1).letter == "B"
    assert bench.slots[bench.active_slot].letter == "E"
    assert bench.close_slot().letter == "E" and bench.slots[bench.active_slot].letter == "F"
    assert bench.new_slot().letter == "B" and bench.active_slot == 1
    with pytest.raises(WorkbenchError, match="there is no slot 10"):
        bench.switch_slot(9)


def test_slots_come_back_as_they_were_left_or_not_at_all() -> None:
    bench = slots()
    bench.use(preset("attention_q8", SHAPE), "preset")
    bench.new_slot()
    bench.assign(["blk.0.attn_v.weight"], Q4, "v")
    left = bench.slots
    again = slots()
    again._hold([s.plan.recipe for s in left], 1, [s.named for s in left])
    assert names(again) == names(bench) and digests(again) == digests(bench)
    assert again.active_slot == 1 and again.undo_label is None
    alien = preset("attention_q8", llama_shape(30))
    for recipes, active in (([alien], 0), ([], 0), ([left[0].plan.recipe], 1)):
        with pytest.raises(WorkbenchError):
            again._hold(recipes, active, recipes)
    assert names(again) == names(bench)


def test_what_was_asked_for_in_one_slot_lands_there_while_another_is_active() -> None:
    bench = slots()
    asked_in = bench._open_history()
    bench.new_slot()
    fitted = preset("ffn_q8", SHAPE)
    bench.use(fitted, "fit 100 MiB", asked_in)
    assert names(bench) == ["A ffn_q8", "B base"] and bench.undo_label is None
    bench.close_slot(0)
    bench.use(fitted, "fit 100 MiB", asked_in)
    assert names(bench) == ["B ffn_q8"]


# The history


def test_a_step_of_the_history_is_gone_to_and_says_what_undo_and_redo_would_do() -> None:
    bench = slots()
    for block in range(3):
        bench.assign([f"blk.{block}.attn_v.weight"], Q4, f"v of block {block} → Q4_0")
    last = bench.plan
    assert bench.go_to(1) == "v of block 0 → Q4_0"
    assert (bench.undo_label, bench.redo_label) == ("v of block 0 → Q4_0", "v of block 1 → Q4_0")
    assert bench.plan_at(3).digest == last.digest and bench.history_position == 1
    bench.go_to(3)
    assert bench.plan.digest == last.digest and bench.redo_label is None
    bench.go_to(0)
    assert bench.plan.unchanged and not bench.modified and bench.undo_label is None
    with pytest.raises(WorkbenchError, match="no step 4"):
        bench.go_to(4)


def test_what_a_name_stands_for_is_taken_back_with_it() -> None:
    bench = slots()
    bench.assign(["blk.0.attn_v.weight"], Q4, "v")
    bench.rename("mine")
    assert not bench.modified and bench.undo_label == "name 'mine'"
    bench.undo()
    assert bench.modified and bench.plan.recipe.name == "custom"
    bench.redo()
    assert not bench.modified and bench.plan.recipe.name == "mine"


def test_a_very_long_history_forgets_its_oldest_edits() -> None:
    history = RecipeHistory(resolve(SHAPE, base_recipe(SHAPE)))
    plans = [resolve(SHAPE, preset(name, SHAPE)) for name in PRESET_NAMES[:2]]
    for edit in range(MOST_EDITS + 5):
        history.edit(plans[edit % 2], f"edit {edit}")
    assert len(history.steps) == MOST_EDITS + 1
    assert history.steps[0].label == "edit 4" and history.undo_label == f"edit {MOST_EDITS + 4}"


async def test_a_measured_recipe_goes_by_its_old_name_again_when_the_new_one_is_taken_back(
    opened: Workbench,
) -> None:
    await done(opened, measure(opened, "uniform_q4_0"))
    opened.use(preset("uniform_q4_0", opened.plan.shape), "preset")
    opened.rename("mine")
    opened.assign(["blk.0.attn_v.weight"], Q8, "v")
    assert {row.name for row in opened.results} == {"base", "mine"}
    opened.go_to(0)
    assert {row.name for row in opened.results} == {"base", "uniform_q4_0"}
    opened.go_to(3)
    assert {row.name for row in opened.results} == {"base", "mine"}


# Anything in any order


@dataclass
class Model:
    """What a slot should hold: the steps as label, name and digest, and where it is among them."""

    steps: list[tuple[str, str, str]]
    position: int = 0

    def edit(self, label: str, name: str, digest: str) -> None:
        if (name, digest) != self.steps[self.position][1:]:
            self.steps[self.position + 1 :] = [(label, name, digest)]
            self.position += 1


@dataclass
class Held:
    """The slots as they should be."""

    by_letter: dict[str, Model] = field(default_factory=dict)
    letter: str = "A"

    @property
    def active(self) -> Model:
        return self.by_letter[self.letter]


class Editing(RuleBasedStateMachine):
    """Edits, undo, redo, jumps and slots in any order, beside a model that is lists alone."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = slots()
        self.told: list[Change] = []
        self.bench.subscribe(self.told.append)
        plan = self.bench.plan
        self.held = Held({"A": Model([("the model as it is", "base", plan.digest)])})

    def edited(self, label: str) -> None:
        plan = self.bench.plan
        self.held.active.edit(label, plan.recipe.name, plan.digest)

    @rule(
        block=st.integers(0, 2), role=st.sampled_from(["attn_v", "ffn_up"]), to=st.sampled_from([Q4, Q6, Q8])
    )
    def assign(self, block: int, role: str, to: TensorType) -> None:
        self.bench.assign([f"blk.{block}.{role}.weight"], to, f"{role} of block {block} → {to}")
        self.edited(f"{role} of block {block} → {to}")

    @rule(name=st.sampled_from(PRESET_NAMES[:3]))
    def use(self, name: str) -> None:
        self.bench.use(preset(name, SHAPE), f"preset {name}")
        self.edited(f"preset {name}")

    @rule(name=st.sampled_from(["mine", "yours"]))
    def rename(self, name: str) -> None:
        self.bench.rename(name)
        self.edited(f"name {name!r}")
        assert not self.bench.modified

    @rule()
    def undo(self) -> None:
        active = self.held.active
        expected = active.steps[active.position][0] if active.position else None
        assert self.bench.undo_label == expected == self.bench.undo()
        active.position = max(0, active.position - 1)

    @rule()
    def redo(self) -> None:
        active = self.held.active
        after = active.steps[active.position + 1 :][:1]
        expected = after[0][0] if after else None
        assert self.bench.redo_label == expected == self.bench.redo()
        active.position += len(after)

    @rule(data=st.data())
    def go_to(self, data: st.DataObject) -> None:
        active = self.held.active
        active.position = data.draw(st.integers(0, len(active.steps) - 1))
        self.bench.go_to(active.position)

    @precondition(lambda self: len(self.held.by_letter) < 4)
    @rule()
    def new_slot(self) -> None:
        name, digest = self.held.active.steps[self.held.active.position][1:]
        copied = f"a copy of {self.held.letter}"
        self.held.letter = next(letter for letter in LETTERS if letter not in self.held.by_letter)
        self.held.by_letter[self.held.letter] = Model([(copied, name, digest)])
        self.bench.new_slot()

    @rule(data=st.data())
    def switch_slot(self, data: st.DataObject) -> None:
        self.held.letter = data.draw(st.sampled_from(sorted(self.held.by_letter)))
        self.bench.switch_slot(sorted(self.held.by_letter).index(self.held.letter))

    @precondition(lambda self: len(self.held.by_letter) > 1)
    @rule()
    def close_slot(self) -> None:
        closed = self.held.letter
        del self.held.by_letter[closed]
        left = sorted(self.held.by_letter)
        self.held.letter = next((letter for letter in left if letter > closed), left[-1])
        self.bench.close_slot()

    @invariant()
    def all_is_where_it_should_be(self) -> None:
        bench, held = self.bench, self.held
        assert [slot.letter for slot in bench.slots] == sorted(held.by_letter)
        assert bench.slots[bench.active_slot].letter == held.letter
        for slot in bench.slots:
            model = held.by_letter[slot.letter]
            assert (slot.name, slot.plan.digest) == model.steps[model.position][1:]
        steps = [(step.label, step.now.recipe.name, step.now.weights[0]) for step in bench.history]
        assert (steps, bench.history_position) == (held.active.steps, held.active.position)
        assert set(self.told) <= {Change.RECIPE}


TestEditing = Editing.TestCase
TestEditing.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
