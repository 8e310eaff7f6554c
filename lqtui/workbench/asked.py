"""What jobs were asked for, as values that can be written down and asked for again in another session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from lqtui.hub.values import HubModel
from lqtui.recipe.granularity import Granularity
from lqtui.recipe.recipe import Recipe
from lqtui.recipe.types import TensorType
from lqtui.worker.convert_messages import OutType


class AskedMeasure(msgspec.Struct, frozen=True, tag="measure"):
    """Measure recipes."""

    title: str
    recipes: tuple[Recipe, ...]
    fresh: bool = False
    speed: bool = True


class AskedSensitivity(msgspec.Struct, frozen=True, tag="sensitivity"):
    """Measure what each tensor or block costs alone."""

    by: Granularity
    types: tuple[TensorType, ...]
    chunks: int


class AskedEstimate(msgspec.Struct, frozen=True, tag="estimate"):
    """Estimate what each tensor loses."""


class AskedFrontier(msgspec.Struct, frozen=True, tag="frontier"):
    """Find the best recipe of every size among some types, or with `file_bytes` the one of that size.

    `label` and `has_room` are the Target's; `pins`, `floors` and `ties` are the Constraints'.
    """

    types: tuple[TensorType, ...]
    by: Granularity
    pins: Mapping[str, TensorType]
    floors: Mapping[str, TensorType]
    ties: tuple[tuple[str, ...], ...]
    file_bytes: int | None = None
    label: str = ""
    has_room: bool = False


class AskedLowering(msgspec.Struct, frozen=True, tag="lowering"):
    """Lower blocks one by one."""

    to: TensorType
    steps: int


class AskedWriting(msgspec.Struct, frozen=True, tag="write"):
    """Write a recipe's GGUF file."""

    recipe: Recipe
    out: Path


class AskedImatrix(msgspec.Struct, frozen=True, tag="imatrix"):
    """Compute an importance matrix."""

    corpus: Path | None
    chunks: int
    n_ctx: int
    out: Path | None
    use: bool


class AskedDownload(msgspec.Struct, frozen=True, tag="download"):
    """Download a model of a version of a repository on the Hub."""

    repository: str
    commit: str
    model: HubModel


class AskedConversion(msgspec.Struct, frozen=True, tag="convert"):
    """Make a GGUF file of a model in safetensors; the fields are those of `convert`."""

    folder: Path
    out: Path
    out_type: OutType
    converter: Path | None
    trust_code: bool


Asked = (
    AskedMeasure
    | AskedSensitivity
    | AskedEstimate
    | AskedFrontier
    | AskedLowering
    | AskedWriting
    | AskedImatrix
    | AskedDownload
    | AskedConversion
)
