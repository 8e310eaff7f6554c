"""How long a job still takes: what is left of all its stages, each at the pace that its kind of work goes.

A stage is so many units of one kind of work. The pace of a kind, in seconds a unit, is learned while the job
runs. Until then it is that of earlier jobs on this machine, and where there was none a usual one; and as many
times slower or faster as the other kinds prove to go now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

STARTING = "starting"
"""What a process of the engine's takes before it tells anything."""
USUAL: Mapping[str, float] = {
    STARTING: 0.7,
    "quantizing": 0.006,
    "loading": 7.0,
    "scoring": 0.022,
    "prompt speed": 0.019,
    "generation speed": 0.055,
    "activations": 0.03,
    "estimating": 2.5,
    "importances": 0.03,
    "writing": 0.006,
    "solving": 0.3,
}
"""Seconds a unit on two cores of a common processor.

Units are MiB of the base model that are quantized or written, rounds of solving, and billions of bytes of the
recipe for each token that is generated. For the rest they are billions of weights: once, where they are
loaded; for each token, where text is decoded; for each type, where errors are estimated.
"""
_TRUST = 0.05
"""What was known before weighs beside what is seen now: like this share of all that is expected."""
_STEADY = 4.0
"""Seconds that go as before, until more is seen."""


class Stage(NamedTuple):
    """So many units of one kind of work."""

    kind: str
    units: float


@dataclass
class _Seen:
    """How much of a kind was done in how many seconds."""

    units: float = 0.0
    seconds: float = 0.0


class Outlook:
    """Follows a job through the stages that it was expected to have, and tells the seconds that are left.

    `paces` are those of earlier jobs, in seconds a unit by kind. Times are of any one clock, in seconds.
    """

    def __init__(self, paces: Mapping[str, float], began: float) -> None:
        self._earlier = paces
        self._stages: list[Stage] = []
        self._at = 0
        self._share = 0.0
        self._seen: dict[str, _Seen] = {}
        self._told = began

    @property
    def is_known(self) -> bool:
        """Whether it is known what the job consists of."""
        return bool(self._stages)

    def expect(self, stages: Sequence[Stage]) -> None:
        """What the job consists of from now on; what lay before is behind it."""
        self._stages, self._at, self._share = list(stages), 0, 0.0

    def advance(self, kind: str, share: float, now: float) -> None:
        """So much of a stage is done, 0 to 1; the time since the last call went into it, and those before."""
        since, self._told = now - self._told, now
        position = self._find(kind, share)
        if position is None or not self._stages:
            return
        if position != self._at:
            since = self._leave(position, share, since)
            self._at, self._share = position, 0.0
        done = max(0.0, share - self._share) * self._stages[position].units
        self._share = share
        self._note(self._stages[position].kind, done, since)

    def time_left(self) -> float | None:
        """Seconds from the last call on; None where nothing is known of what is to be done."""
        if not self._stages:
            return None
        at, later = self._stages[self._at], self._stages[self._at + 1 :]
        left = [Stage(at.kind, at.units * (1 - self._share)), *later]
        return sum(stage.units * self.pace(stage.kind) for stage in left if stage.units)

    def pace(self, kind: str) -> float:
        """Seconds a unit of a kind, as far as is known now."""
        seen = self._seen.get(kind, _Seen())
        weight = _TRUST * sum(stage.units for stage in self._stages if stage.kind == kind) or 1e-9
        return (seen.seconds + weight * self._before(kind) * self._drift) / (seen.units + weight)

    @property
    def learned(self) -> dict[str, float]:
        """Seconds a unit of each kind that the job did, where it took long enough to tell."""
        return {
            kind: seen.seconds / seen.units
            for kind, seen in self._seen.items()
            if seen.units and seen.seconds > 0.2
        }

    def _before(self, kind: str) -> float:
        """Seconds a unit of a kind as they were before this job: of earlier ones, or usual and like those."""
        if kind in self._earlier:
            return self._earlier[kind]
        ratios = [pace / USUAL[other] for other, pace in self._earlier.items() if other in USUAL]
        return USUAL.get(kind, 0.0) * (sum(ratios) / len(ratios) if ratios else 1.0)

    @property
    def _drift(self) -> float:
        """How many times slower all goes now than before: another machine, or one that is busy."""
        took = [(seen.seconds, seen.units * self._before(kind)) for kind, seen in self._seen.items()]
        return (sum(now for now, _ in took) + _STEADY) / (sum(before for _, before in took) + _STEADY)

    def _find(self, kind: str, share: float) -> int | None:
        """The stage that is meant: the present one, else the next of its kind, else the last that was."""
        if not self._stages:
            return None
        kinds = [stage.kind for stage in self._stages]
        goes_on = kinds[self._at] == kind and share >= self._share - 1e-9
        if goes_on:
            return self._at
        if kind in kinds[self._at + 1 :]:
            return kinds.index(kind, self._at + 1)
        passed = [position for position in range(self._at + 1) if kinds[position] == kind]
        return passed[-1] if passed else None

    def _leave(self, position: int, share: float, since: float) -> float:
        """Share out the time since the last call among the stages that were left; what remains is returned.

        A stage that was told of from its beginning on began when it was told of. Of one that is first told of
        in its midst, what came before is taken to have lasted as long as was expected.
        """
        if position < self._at:
            return since
        at = self._stages[self._at]
        left = at.units * (1 - self._share)
        expected = left * self.pace(at.kind)
        skipped = [stage for stage in self._stages[self._at + 1 : position] if stage.kind == STARTING]
        spent = since if share <= 0 else min(since, expected)
        if skipped and share <= 0:
            spent = min(since, expected)
        self._note(at.kind, left, spent)
        remains = since - spent
        for stage in skipped:
            part = remains if share <= 0 else min(remains, stage.units * self.pace(stage.kind))
            self._note(stage.kind, stage.units, part)
            remains -= part
        return remains

    def _note(self, kind: str, units: float, seconds: float) -> None:
        seen = self._seen.setdefault(kind, _Seen())
        seen.units += units
        seen.seconds += seconds
