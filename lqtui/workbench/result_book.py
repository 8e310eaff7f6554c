"""What is known of one model's recipes: the rows that people see, and the store behind them."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from lqtui.measure.divergence import divergence
from lqtui.measure.paired import Comparison, Scores, compare
from lqtui.measure.perplexity import exponential, paired_difference, perplexity
from lqtui.measure.sequential import Look, look
from lqtui.recipe.errors import RecipeError
from lqtui.recipe.imatrix import FindImatrix, find_no_imatrix
from lqtui.recipe.quantized_file import FindFile, find_no_file
from lqtui.recipe.recipe import Plan, base_recipe, resolve
from lqtui.recipe.recipe_file import format_recipe, parse_recipe
from lqtui.store.results import (
    ChunkScores,
    RecipeName,
    ResultStore,
    ScoresKey,
    TextKey,
    Throughput,
    ThroughputKey,
)
from lqtui.workbench.values import OpenModel, Result, Settings, Speed
from lqtui.worker.messages import SpeedMeasured


class Known(NamedTuple):
    """What need not be measured of a plan: its first chunks, maybe all that are wanted, and its speed."""

    chunks: int
    all_chunks: bool
    speed: bool


@dataclass
class ResultBook:
    """What is known of one model under one set of settings; the store behind it outlives the session.

    What is not `named` is kept too, and found again by its weights, but shown to nobody as a result.
    """

    store: ResultStore
    model: OpenModel
    settings: Settings
    corpus_digest: str
    named: bool = True
    find_imatrix: FindImatrix = find_no_imatrix
    find_file: FindFile = find_no_file
    rows: dict[str, Result] = field(default_factory=dict)
    _chunks: dict[str, list[ChunkScores]] = field(default_factory=dict)
    _names_kept: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Know the base model's own plan, against which every row is compared, and how long the text is."""
        shape = self.model.shape
        self._base = resolve(shape, base_recipe(shape))
        self._text = TextKey(self.model_digest, self.corpus_digest, self.settings.n_ctx, self.model.engine)
        self._chunks_there_are = self.store.get_text_chunks(self._text)

    @property
    def model_digest(self) -> str:
        """SHA-256 of the model, which must be known by now."""
        assert self.model.digest is not None
        return self.model.digest

    @property
    def base(self) -> Plan:
        """The base model's own plan, by the name that people gave it where they did."""
        row = self.rows.get(self._base.digest)
        if row is None:
            return self._base
        recipe = msgspec.structs.replace(self._base.recipe, name=row.name)
        return msgspec.structs.replace(self._base, recipe=recipe)

    def rename(self, plan: Plan) -> None:
        """A recipe got another name: what is known of it goes by that."""
        if plan.digest in self.rows:
            self.rows[plan.digest] = replace(self.rows[plan.digest], name=plan.recipe.name)
            self._keep_name(plan)

    def load(self) -> None:
        """Read everything that the store knows under these settings."""
        shape = self.model.shape
        plans: dict[str, Plan] = {}
        for named in self.store.names_for(self.model_digest):
            try:
                found = self.find_imatrix, self.find_file
                plan = resolve(shape, parse_recipe(named.recipe_toml, shape, named.name, *found))
            except RecipeError:  # written by another version of lqtui; the measurement stays in the store
                continue
            if plan.digest == named.tensors_digest:
                plans[plan.digest] = plan  # the last name is the one that people know it by
        for plan in plans.values():
            self.recall(plan)

    def recall(self, plan: Plan) -> Known:
        """Take what the store knows of a plan into the rows, and tell what that is."""
        chunks = self.store.get_chunks(self._key(plan), self.wanted)
        usable = len(chunks)
        if self.settings.divergence:
            usable = next((i for i, chunk in enumerate(chunks) if chunk.kld is None), usable)
        if chunks:  # those before the first without a KLD, or where none has one, the perplexity of all
            self._note_scores(plan, chunks[:usable] or chunks)
        speeds = [self.store.get_throughput(key) for key in self._speed_keys(plan)]
        for speed in speeds:
            if speed is not None:
                self._note_speed(plan, speed)
        return Known(usable, usable == self.wanted, all(speed is not None for speed in speeds))

    def chunk_means(self, plan: Plan) -> list[float | None]:
        """What two recipes are compared by: of each chunk known of a plan the mean KLD, or NLL without it.

        None is that of a broken recipe.
        """
        chunks = self._chunks.get(plan.digest, [])
        scores = (chunk.kld if self.settings.divergence else chunk.nll for chunk in chunks)
        means = [float(of_tokens.mean(dtype=np.float64)) for of_tokens in scores if of_tokens is not None]
        return [mean if math.isfinite(mean) else None for mean in means]

    def note_corpus(self, chunks: int) -> None:
        """The corpus is cut, into as many chunks as the settings ask for, or fewer because it has no more."""
        if chunks < self.settings.chunks:
            self._chunks_there_are = chunks
            self.store.put_text_chunks(self._text, chunks)
        for digest, row in self.rows.items():
            self.rows[digest] = replace(row, partial=row.partial and row.chunks < chunks)

    def add_chunk(self, plan: Plan, number: int, scores: ChunkScores) -> None:
        """A chunk of a plan is scored, after those with lower numbers: store it, and show all so far."""
        self.store.put_chunk(self._key(plan), number, scores)
        self._keep_name(plan)
        self._note_scores(plan, [*self._chunks.get(plan.digest, [])[:number], scores])

    def add_speed(self, plan: Plan, event: SpeedMeasured) -> None:
        """A speed of a plan is measured: store it."""
        samples = tuple(event.tokens_per_second)
        key = self._speed_key(plan, event.n_prompt, event.n_gen)
        sd = statistics.stdev(samples) if len(samples) > 1 else 0.0
        throughput = Throughput(key, statistics.fmean(samples), sd, samples)
        self.store.put_throughput(throughput)
        self._keep_name(plan)
        self._note_speed(plan, throughput)

    def compare(self, digest: str, other: str, confidence: float) -> Comparison | None:
        """One recipe beside another on the chunks that both have, None where there are none."""
        scores = self._scores(digest, other)
        return compare(*scores, confidence) if scores else None

    def look(self, digest: str, other: str, confidence: float) -> Look | None:
        """As `compare`, with a verdict that one may look for after each chunk."""
        scores = self._scores(digest, other)
        return look(*scores, confidence) if scores else None

    def _scores(self, digest: str, other: str) -> tuple[Scores, Scores] | None:
        """Both recipes' scores of the chunks that both have."""
        mine, its = self._chunks.get(digest, []), self._chunks.get(other, [])
        common = min(len(mine), len(its))
        if not common:
            return None
        mine, its = mine[:common], its[:common]
        return Scores(_nll(mine), _kld(mine)), Scores(_nll(its), _kld(its))

    @property
    def wanted(self) -> int:
        """How many chunks a whole result has: as many as are asked for, or as the corpus is known to fill."""
        return min(self.settings.chunks, self._chunks_there_are or self.settings.chunks)

    def _note_scores(self, plan: Plan, chunks: list[ChunkScores]) -> None:
        self._chunks[plan.digest] = chunks
        value = perplexity(_nll(chunks))
        row = self._row(plan)
        self.rows[plan.digest] = Result(
            row.name,
            row.digest,
            row.file_bytes,
            row.bits_per_weight,
            row.recipe,
            perplexity=value.value,
            perplexity_se=value.se,
            chunks=len(chunks),
            seconds=sum(chunk.seconds for chunk in chunks),
            prompt=row.prompt,
            generation=row.generation,
            partial=len(chunks) < self.wanted,
            by_imatrix=row.by_imatrix,
        )
        waiting = [digest for digest, row in self.rows.items() if row.delta_nll is None]
        for digest in waiting if plan.digest == self._base.digest else [plan.digest]:
            self._compare_with_base(digest)

    def _compare_with_base(self, digest: str) -> None:
        """Set a row's differences from the base, over all of the row's chunks.

        There are none while the base has fewer: they would not be those of the perplexity beside them.
        """
        chunks = self._chunks.get(digest, [])
        base = self._chunks.get(self._base.digest, [])[: len(chunks)]
        if not chunks or len(base) < len(chunks):
            return
        nll, base_nll = _nll(chunks), _nll(base)
        difference = paired_difference(nll, base_nll)
        ratio = exponential(difference.mean)
        row = replace(
            self.rows[digest],
            delta_nll=difference.mean,
            delta_nll_se=difference.se,
            delta_percent=100 * (ratio - 1),
            delta_percent_se=100 * ratio * difference.se,
        )
        kld, same_top = _kld(chunks), _same_top(chunks)
        if kld is not None and same_top is not None:
            found = divergence(nll, base_nll, kld, same_top)
            row = replace(
                row,
                kld=found.kld.value,
                kld_se=found.kld.se,
                kld_median=found.kld_median,
                kld_p99=found.kld_99,
                kld_p999=found.kld_99_9,
                kld_max=found.kld_max,
                top1_agreement=found.same_top.value,
                top1_agreement_se=found.same_top.se,
                rms_dp=found.rms_dp.value,
                rms_dp_se=found.rms_dp.se,
            )
        self.rows[digest] = row

    def _note_speed(self, plan: Plan, throughput: Throughput) -> None:
        speed = Speed(throughput.mean, throughput.sd, len(throughput.samples))
        row = self._row(plan)
        is_prompt = throughput.key.n_prompt > 0
        self.rows[plan.digest] = replace(row, prompt=speed) if is_prompt else replace(row, generation=speed)

    def _row(self, plan: Plan) -> Result:
        row = self.rows.get(plan.digest)
        recipe = self._as_known(plan).recipe
        if row is not None:
            return replace(row, name=recipe.name, recipe=recipe)
        by_imatrix = plan.imatrix is not None
        of = recipe.name, plan.digest, plan.file_bytes, plan.bits_per_weight, recipe
        return Result(*of, by_imatrix=by_imatrix)

    def _key(self, plan: Plan) -> ScoresKey:
        return ScoresKey(
            self.model_digest, plan.digest, self.corpus_digest, self.settings.n_ctx, self._engine
        )

    @property
    def _engine(self) -> str:
        """The engine, and how much of a model it was told to offload where that is not all."""
        layers = self.settings.gpu_layers
        return self.model.engine if layers < 0 else f"{self.model.engine}, {layers} GPU layers"

    def _speed_keys(self, plan: Plan) -> tuple[ThroughputKey, ThroughputKey]:
        return (
            self._speed_key(plan, self.settings.n_prompt, 0),
            self._speed_key(plan, 0, self.settings.n_gen),
        )

    def _speed_key(self, plan: Plan, n_prompt: int, n_gen: int) -> ThroughputKey:
        return ThroughputKey(
            self.model_digest,
            plan.digest,
            self._engine,
            self.settings.threads_used,
            n_prompt,
            n_gen,
            self.settings.repetitions,
        )

    def _as_known(self, plan: Plan) -> Plan:
        """A plan by its own name; the base as lqtui itself calls it, by the name that people gave it."""
        return self.base if plan.recipe == self._base.recipe else plan

    def _keep_name(self, plan: Plan) -> None:
        plan = self._as_known(plan)
        name = plan.recipe.name
        if self.named and self._names_kept.get(plan.digest) != name:
            toml = format_recipe(plan.recipe, plan.shape)
            self.store.put_name(RecipeName(self.model_digest, plan.digest, name, toml))
            self._names_kept[plan.digest] = name


def _nll(chunks: list[ChunkScores]) -> NDArray[np.float64]:
    return np.stack([chunk.nll for chunk in chunks])


def _kld(chunks: list[ChunkScores]) -> NDArray[np.float64] | None:
    """Shape (chunks, tokens); None where it is not known of all chunks."""
    klds = [chunk.kld for chunk in chunks if chunk.kld is not None]
    return np.stack(klds).astype(np.float64) if len(klds) == len(chunks) else None


def _same_top(chunks: list[ChunkScores]) -> NDArray[np.bool_] | None:
    same = [chunk.same_top for chunk in chunks if chunk.same_top is not None]
    return np.stack(same) if len(same) == len(chunks) else None
