"""What is known of one model on the text that recipes are fitted on: estimates, singles and mixes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from lqtui.measure.importance import rank_correlation
from lqtui.recipe.recipe import Plan
from lqtui.recipe.types import TensorType
from lqtui.recipe.units import Single, Unit
from lqtui.solve.costs import CostTable, OutputErrors, cost_table, shared_out
from lqtui.solve.interaction import Interaction, Mixed, fit_interaction
from lqtui.store.estimates import BlockEstimate, Estimates, TensorEstimate
from lqtui.workbench.corpora import Corpus
from lqtui.workbench.result_book import ResultBook


@dataclass(frozen=True)
class Score:
    """What was measured of one unit alone at one type, on the calibration text. In nats."""

    unit: Unit
    type: TensorType
    kld: float
    kld_se: float
    delta_nll: float
    delta_nll_se: float
    chunks: int


@dataclass(frozen=True)
class ImportanceView:
    """What is known of which tensors deserve the bits: measured scores, and cheap estimates beside them."""

    scores: tuple[Score, ...] = ()
    tensors: Mapping[str, TensorEstimate] = field(default_factory=dict)
    blocks: Mapping[int, BlockEstimate] = field(default_factory=dict)

    @cached_property
    def probe(self) -> TensorType | None:
        """The type at which most units were measured."""
        types = [score.type for score in self.scores]
        return max(types, key=types.count) if types else None

    @cached_property
    def _of_probe(self) -> dict[frozenset[str], Score]:
        return {frozenset(score.unit.names): score for score in self.scores if score.type is self.probe}

    def kld_of(self, names: Collection[str]) -> tuple[float, bool] | None:
        """The KLD of tensors at the probe's type, and whether it is a sum of singles; None if unknown."""
        whole = self._of_probe.get(frozenset(names))
        if whole is not None:
            return whole.kld, False
        parts = [self._of_probe.get(frozenset((name,))) for name in names]
        known = [part.kld for part in parts if part is not None]
        return (sum(known), True) if known and len(known) == len(parts) else None

    @cached_property
    def correlations(self) -> dict[str, float]:
        """Spearman's rank correlation of each cheap score with what was measured, by the score's name.

        Blocks are ranked by LIM and ZD, tensors by their weighted error, where at least four were measured.
        """
        found: dict[str, float] = {}
        of_block: dict[int, float] = {}
        for block in self.blocks:
            names = [name for name in self.tensors if name.startswith(f"blk.{block}.")]
            known = self.kld_of(names)
            if known is not None:
                of_block[block] = known[0]
        for label, score_of in _BLOCK_SCORES.items():
            pairs = [(score_of(self.blocks[block]), kld) for block, kld in of_block.items()]
            _correlate(found, label, pairs)
        pairs = []
        for name in self.tensors:
            known, error = self.kld_of([name]), self.error_of(name)
            if known is not None and error is not None:
                pairs.append((error, known[0]))
        _correlate(found, "weighted error", pairs)
        return found

    def error_of(self, name: str) -> float | None:
        """The estimated error of a tensor's output at the probe's type, as a share of the output."""
        output = output_of(self.tensors[name]) if name in self.tensors else None
        error = output.errors.get(self.probe or TensorType.Q4_0) if output else None
        return error / output.power if output and error is not None and output.power else None


_BLOCK_SCORES: dict[str, Callable[[BlockEstimate], float | None]] = {
    "LIM": lambda block: block.lim,
    "ZD": lambda block: block.zd,
    "ZD two-sided": lambda block: block.zd_two_sided,
}
_FEWEST_RANKED = 4


def _correlate(found: dict[str, float], label: str, pairs: Iterable[tuple[float | None, float]]) -> None:
    known = [(score, kld) for score, kld in pairs if score is not None]
    if len(known) >= _FEWEST_RANKED:
        rho = rank_correlation(*np.array(known).T)
        if np.isfinite(rho):
            found[label] = float(rho)


def output_of(estimate: TensorEstimate) -> OutputErrors | None:
    """A tensor's output errors as the solver takes them: tied embeddings count as the head that they are."""
    output = estimate.product or estimate.lookup
    return OutputErrors(output.errors, output.power) if output else None


@dataclass
class Calibration:
    """All that is known of a model on its calibration text.

    Singles and mixes have books of their own, because mixes are measured on more chunks: there are few of
    them, and they tell how high costs are on the text as a whole.
    """

    corpus: Corpus
    chosen: tuple[Path | None, Path | None]
    """The settings' texts, to tell on and to fit on, from which `corpus` follows."""
    singles: ResultBook
    mixes: ResultBook
    estimates: Estimates | None = None
    _singles: dict[tuple[str, TensorType], Single] = field(default_factory=dict)
    _mixes: dict[str, Plan] = field(default_factory=dict)
    _costs: CostTable | None = None
    _interaction: Interaction | None = None

    def add_singles(self, found: Iterable[Single]) -> None:
        """Count these among the singles, as far as they are measured."""
        for single in found:
            self._singles[single.unit.label, single.effective] = single
        self.changed()

    def add_mixes(self, plans: Iterable[Plan]) -> None:
        """Count these among the mixes that the interaction is fitted on."""
        self._mixes.update((plan.digest, plan) for plan in plans)
        self.changed()

    def measure_singles_in(self, book: ResultBook) -> None:
        """Take another book for singles, and what it knows of those that are counted."""
        self.singles = book
        book.recall(book.base)
        for single in self._singles.values():
            book.recall(single.plan)
        self.changed()

    def changed(self) -> None:
        """More was measured: what follows from it is worked out anew when it is asked for."""
        self._costs = self._interaction = None

    @property
    def costs(self) -> CostTable:
        """What each tensor costs alone at each type."""
        if self._costs is None:
            self._costs = self._make_costs()
        return self._costs

    @property
    def interaction(self) -> Interaction:
        """What the mixes that were measured say of how costs add up."""
        if self._interaction is None:
            self._interaction = fit_interaction(self._measured_mixes())
        return self._interaction

    def predict(self, plan: Plan) -> float | None:
        """The KLD in nats that is to be expected of a plan; None where a tensor's cost is not known."""
        total = self.costs.total(effective(plan))
        return None if total is None else self.interaction.predict(total)

    def view(self) -> ImportanceView:
        """What is known now."""
        tensors = {one.name: one for one in self.estimates.tensors} if self.estimates else {}
        blocks = {one.block: one for one in self.estimates.blocks} if self.estimates else {}
        scores = (self._score(single) for single in self._singles.values())
        return ImportanceView(tuple(score for score in scores if score is not None), tensors, blocks)

    def _score(self, single: Single) -> Score | None:
        row = self.singles.rows.get(single.plan.digest)
        if row is None or row.kld is None or row.kld_se is None:
            return None
        if row.delta_nll is None or row.delta_nll_se is None:
            return None
        return Score(
            single.unit, single.effective, row.kld, row.kld_se, row.delta_nll, row.delta_nll_se, row.chunks
        )

    def _make_costs(self) -> CostTable:
        view = self.view()
        estimated = {
            name: output for name, one in view.tensors.items() if (output := output_of(one)) is not None
        }
        measured: dict[str, dict[TensorType, float]] = {}
        for single in sorted(self._singles.values(), key=lambda single: -len(single.unit.names)):
            score = self._score(single)
            if score is not None:  # a tensor's own measurement comes last: it counts before its block's
                types = {name: single.plan.by_name[name].effective for name in single.unit.names}
                for name, kld in shared_out(score.kld, types, estimated).items():
                    measured.setdefault(name, {})[types[name]] = kld
        return cost_table(measured, estimated)

    def _measured_mixes(self) -> list[Mixed]:
        mixes = []
        for plan in self._mixes.values():
            row, singles = self.mixes.rows.get(plan.digest), self.costs.total(effective(plan))
            if row is not None and row.kld is not None and singles:
                mixes.append(Mixed(singles, row.kld))
        return mixes


def effective(plan: Plan) -> dict[str, TensorType]:
    """What a plan changes of the base model: the types of tensors, by name."""
    return {p.name: p.effective for p in plan.tensors if p.effective is not p.tensor.type}
