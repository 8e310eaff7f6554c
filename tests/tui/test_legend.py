"""The legend explains every type that the recipe uses, before those that merely have a key."""

from __future__ import annotations

from driving import running

from lqtui.recipe.types import TensorType
from lqtui.tui.widgets.legend import Legend


async def test_types_in_use_are_explained_before_f16_which_has_a_key(workbench) -> None:
    names = ("Q5_1", "Q5_0", "Q4_1", "IQ4_NL", "Q4_0", "MXFP4", "Q2_0")
    async with running(workbench, size=(80, 24)) as pilot:
        legend = pilot.app.main.query_one(Legend)
        assert " F  F16 " in legend.render().plain
        tensors = [planned.name for planned in workbench.plan.tensors if planned.quantizable]
        for number, name in enumerate(names):
            workbench.assign(tensors[number :: len(names)], TensorType(name), "edit")
        await pilot.pause()
        said = legend.render().plain
        places = [said.find(f" {name} ") for name in names]
        assert -1 not in places and places == sorted(places), said
        assert "F16" not in said, "there is no room for it any more"
