"""The types table: one model at every file type of a list, each measured, or said why it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lqtui.recipe.errors import RecipeError
from lqtui.recipe.file_types import FileType
from lqtui.recipe.imatrix import Imatrix
from lqtui.recipe.presets import preset
from lqtui.recipe.recipe import Plan, resolve, with_imatrix
from lqtui.recipe.shape import ModelShape
from lqtui.workbench.running import Running
from lqtui.workbench.values import Job, WorkbenchError

TABLE_TYPES = (
    FileType.F16,
    FileType.Q8_0,
    FileType.Q6_K,
    FileType.Q4_K_M,
    FileType.Q4_0,
    FileType.Q3_K_M,
    FileType.Q2_K,
    FileType.IQ1_M,
    FileType.IQ1_S,
)
"""What the table tells of where nobody chose others: from nearly lossless to nearly useless."""


@dataclass(frozen=True)
class TableRow:
    """A file type on a model: what becomes of each tensor, or the reason why nothing can be measured.

    The plan is None where the model's rows do not fit the type, and there where only an importance matrix is
    missing.
    """

    file_type: FileType
    plan: Plan | None
    reason: str = ""

    @property
    def compression(self) -> float | None:
        """How many times smaller the file is than the base model's."""
        return self.plan.shape.file_bytes / self.plan.file_bytes if self.plan else None


class TypeTable(Running):
    """The part of the workbench that measures a model at every file type."""

    def table_rows(
        self, types: Sequence[FileType] = TABLE_TYPES, imatrix: Imatrix | None = None
    ) -> tuple[TableRow, ...]:
        """The rows of the table, in the order asked for; with an importance matrix no type lacks one."""
        shape = self._open_model().shape
        return tuple(_row(shape, each, imatrix) for each in dict.fromkeys(types))

    def measure_types(
        self,
        types: Sequence[FileType] = TABLE_TYPES,
        imatrix: Imatrix | None = None,
        *,
        fresh: bool = False,
        speed: bool = True,
    ) -> Job:
        """Measure the model at each file type in the background; what cannot be is told as the job's notice.

        Raises WorkbenchError where none of them can be measured.
        """
        rows = self.table_rows(types, imatrix)
        plans = [row.plan for row in rows if row.plan and not row.reason]
        lacking = "; ".join(f"{row.file_type}: {row.reason}" for row in rows if row.reason)
        if not plans:
            raise WorkbenchError(f"none of these types can be measured; {lacking}")
        job = self.measure_plans(plans, f"measure {len(plans)} types", fresh=fresh, speed=speed)
        if lacking:
            self._queue.update(job.id, notice=f"not measured: {lacking}")
        return job


def _row(shape: ModelShape, file_type: FileType, imatrix: Imatrix | None) -> TableRow:
    try:
        plan = resolve(shape, with_imatrix(preset(file_type, shape), imatrix))
    except RecipeError as error:
        return TableRow(file_type, None, str(error))
    if plan.missing_imatrix:
        first = plan.missing_imatrix[0]
        reason = f"it needs an importance matrix, for {first.name} becomes {first.effective}"
        return TableRow(file_type, plan, reason)
    return TableRow(file_type, plan)
