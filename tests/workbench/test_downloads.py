"""Models of the Hub in the workbench: found, chosen, downloaded beside other jobs, and what stops that."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from local_hub import LocalHub

from lqtui.hub.values import Fitness, HubFile, HubModel, Repository
from lqtui.system.meters import Gpu, Snapshot
from lqtui.workbench import JobState, Workbench, WorkbenchError
from lqtui.workbench.downloads import choose_model, memory_said, without_gguf
from tests.workbench.bench_jobs import done, measure, state, until

OWNER = "someone/Tiny-GGUF"


def add_model(hub: LocalHub, model: Path, name: str = "tiny-f16.gguf", **changes: object) -> None:
    hub.add(OWNER, name, model.read_bytes(), **changes)


def repository(*names: str, **changes: object) -> Repository:
    """A repository with models of these names, whose types their names tell."""
    types = {
        "f16": Fitness.BASE,
        "bf16": Fitness.BASE,
        "q8_0": Fitness.QUANTIZED,
        "q4_k_m": Fitness.QUANTIZED,
    }
    models = []
    for name in names:
        kind = next((kind for kind in types if f"-{kind}" in name.lower()), "")
        fitness = Fitness.COMPANION if "mmproj" in name else types.get(kind, Fitness.UNKNOWN)
        models.append(HubModel(name, (HubFile(name, 1000),), kind.upper(), fitness))
    fields = {"id": OWNER, "commit": "c" * 40, "models": tuple(models), "cache": Path("/c"), "free_bytes": 1}
    return Repository(**fields | changes)  # type: ignore[arg-type]


# Which model is meant


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", "a-F16.gguf"),
        ("a-q4_k_m.gguf", "a-q4_k_m.gguf"),
        ("A-Q4_K_M.GGUF", "a-q4_k_m.gguf"),
        ("q8_0", "sub/a-Q8_0.gguf"),
        ("Q8_0", "sub/a-Q8_0.gguf"),
        ("a-Q8_0.gguf", "sub/a-Q8_0.gguf"),
        ("fp16", "a-F16.gguf"),
        ("bf16", "a-BF16.gguf"),
        ("mmproj-F16.gguf", "mmproj-F16.gguf"),
    ],
)
def test_a_model_is_named_by_its_file_or_its_type_and_else_it_is_the_base(wanted: str, found: str) -> None:
    names = ("mmproj-F16.gguf", "a-BF16.gguf", "a-F16.gguf", "a-q4_k_m.gguf", "sub/a-Q8_0.gguf")
    assert choose_model(repository(*names), wanted).name == found


@pytest.mark.parametrize(
    ("names", "wanted", "words"),
    [
        (("a-q4_k_m.gguf", "a-q8_0.gguf"), "", "no unquantized model to begin with; it has Q4_K_M, Q8_0"),
        (("a-F16.gguf", "b-F16.gguf"), "", "several unquantized models: a-F16.gguf, b-F16.gguf; name one"),
        (("a-F16.gguf", "b-F16.gguf"), "f16", "f16 is any of a-F16.gguf, b-F16.gguf"),
        (("a-q8_0.gguf",), "a-q8.gguf", "has no GGUF a-q8.gguf; did you mean a-q8_0.gguf?"),
        (("a-q8_0.gguf",), "xyz", "has no GGUF xyz; it has Q8_0"),
        ((), "", "someone/Tiny-GGUF has no GGUF file"),
    ],
)
def test_what_cannot_be_meant_says_what_there_is(names: tuple[str, ...], wanted: str, words: str) -> None:
    with pytest.raises(WorkbenchError) as refusal:
        choose_model(repository(*names), wanted)
    assert words in str(refusal.value)


def test_a_repository_without_gguf_says_what_it_has() -> None:
    assert "its model is in safetensors (2.0 GiB)" in without_gguf(repository(safetensors=2 << 30))
    assert "under names alone that lqtui does not use" in without_gguf(repository(unusable=2))


def test_the_memory_that_weights_take_is_told_without_a_promise() -> None:
    machine = Snapshot(4 << 30, 8 << 30, 0, 0, 0.0, (), "")
    assert memory_said(1 << 30, machine) == "its weights fit into the 4.0 GiB of memory that are free"
    assert "only just fit" in memory_said(15 << 28, machine)
    assert "do not fit" in memory_said(5 << 30, machine)
    gpu = Gpu(0, "GPU", vram_used=1 << 30, vram_total=7 << 30, utilisation=0)
    assert memory_said(1 << 30, replace(machine, gpus=(gpu,))).endswith("free; the GPU has 6.0 GiB free")


# Asking


async def test_the_hub_is_searched_and_listed_without_a_model(
    bench: Workbench, hub: LocalHub, tiny_model: Path
) -> None:
    add_model(hub, tiny_model)
    assert [found.id for found in (await bench.search_hub("tiny")).repositories] == [OWNER]
    assert [model.type for model in (await bench.list_repository(OWNER)).models] == ["F16"]
    assert (await bench.cached_models()).models == ()


async def test_what_the_hub_refuses_is_a_sentence(bench: Workbench, hub: LocalHub) -> None:
    with pytest.raises(WorkbenchError, match="has no no/one"):
        await bench.list_repository("no/one")


async def test_a_hub_that_never_answers_is_left(
    bench: Workbench, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lqtui.workbench.downloads._ANSWER_SECONDS", 3.0)
    hub.answering.clear()
    with pytest.raises(WorkbenchError, match="gave no whole answer in 3 seconds"):
        await bench.search_hub("tiny")


# Downloading


async def test_a_model_is_downloaded_and_can_be_opened(
    bench: Workbench, hub: LocalHub, tiny_model: Path
) -> None:
    add_model(hub, tiny_model)
    found = await bench.list_repository(OWNER)
    job = await done(bench, bench.pull(found, found.models[0]))
    path = bench.pulled(job)
    assert path is not None and path.read_bytes() == tiny_model.read_bytes()
    assert job.title == "download tiny-f16.gguf" and job.message.endswith("KiB, its digest is right")
    await bench.open(path, fingerprint=False)
    assert (await bench.list_repository(OWNER)).models[0].here == path
    [cached] = (await bench.cached_models()).models
    assert cached.path == path and cached.fitness is Fitness.BASE


async def test_the_parts_of_a_split_model_come_one_after_another_with_one_progress(
    bench: Workbench, hub: LocalHub
) -> None:
    parts = [bytes([number]) * (2 << 20) for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        hub.add(OWNER, f"big-F16-0000{number}-of-00003.gguf", part)
    found = await bench.list_repository(OWNER)
    job = bench.pull(found, found.models[0])
    seen = []
    bench.subscribe(lambda _: seen.append(next(known for known in bench.jobs if known.id == job.id)))
    job = await done(bench, job)
    told = [(known.done, known.total) for known in seen if known.stage == "downloading"]
    assert {total for _, total in told} == {6} and [n for n, _ in told] == sorted(n for n, _ in told)
    path = bench.pulled(job)
    assert path is not None and path.name == "big-F16-00001-of-00003.gguf"
    assert [p.read_bytes() for p in sorted(path.parent.iterdir())] == parts


async def test_a_download_waits_for_no_measurement_and_opening_a_model_does_not_end_it(
    opened: Workbench, hub: LocalHub, tiny_model: Path
) -> None:
    add_model(hub, tiny_model, hold=threading.Event())
    found = await opened.list_repository(OWNER)
    measuring = measure(opened, "uniform_q4_0")
    job = opened.pull(found, found.models[0])
    await until(lambda: state(opened, job) is JobState.RUNNING)
    await opened.open(tiny_model, fingerprint=False)
    assert state(opened, job) is JobState.RUNNING
    await until(lambda: not next(known for known in opened.jobs if known.id == measuring.id).active)
    assert state(opened, measuring) is JobState.CANCELLED
    for file in hub.files.values():
        assert file.hold is not None
        file.hold.set()
    assert opened.pulled(await done(opened, job)) is not None


async def test_one_model_is_downloaded_once_at_a_time(
    bench: Workbench, hub: LocalHub, tiny_model: Path
) -> None:
    add_model(hub, tiny_model, hold=threading.Event())
    found = await bench.list_repository(OWNER)
    first, second = (bench.pull(found, found.models[0]) for _ in range(2))
    assert first.id == second.id
    with pytest.raises(WorkbenchError, match="is being downloaded; cancel that first"):
        await bench.remove_cached(OWNER)


async def test_a_cancelled_download_goes_on_where_it_was(bench: Workbench, hub: LocalHub) -> None:
    content = bytes(range(256)) * (16 << 10)
    file = hub.add(OWNER, "tiny-f16.gguf", content, seconds=0.2)
    found = await bench.list_repository(OWNER)
    job = bench.pull(found, found.models[0])
    await until(lambda: next(known for known in bench.jobs if known.id == job.id).done > 0)
    bench.cancel(job.id)
    assert (await bench.wait(job)).state is JobState.CANCELLED and bench.pulled(job) is None
    found = await bench.list_repository(OWNER)
    begun = found.models[0].partial
    assert 0 < begun < len(content) and found.models[0].to_come == len(content) - begun
    file.seconds = 0.0
    path = bench.pulled(await done(bench, bench.pull(found, found.models[0])))
    assert path is not None and path.read_bytes() == content
    assert [request.range for request in hub.asked("/storage")] == [None, f"bytes={begun}-"]


async def test_a_download_whose_process_is_killed_goes_on_where_it_was(
    bench: Workbench, hub: LocalHub
) -> None:
    content = bytes(range(256)) * (16 << 10)
    file = hub.add(OWNER, "tiny-f16.gguf", content, seconds=0.2)
    found = await bench.list_repository(OWNER)
    job = bench.pull(found, found.models[0])
    await until(lambda: next(known for known in bench.jobs if known.id == job.id).done > 0)
    pid = next(known for known in bench.jobs if known.id == job.id).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed = await bench.wait(job)
    assert killed.state is JobState.FAILED and killed.crashed and "SIGKILL" in killed.message
    file.seconds = 0.0
    path = bench.pulled(await done(bench, bench.pull(found, found.models[0])))
    assert path is not None and path.read_bytes() == content
    assert (hub.asked("/storage")[-1].range or "").startswith("bytes=")


async def test_a_model_that_lacks_a_part_is_not_begun(bench: Workbench, hub: LocalHub) -> None:
    hub.add(OWNER, "big-F16-00001-of-00002.gguf", b"part")
    found = await bench.list_repository(OWNER)
    with pytest.raises(WorkbenchError, match="is not whole: 1 of its parts are missing"):
        bench.pull(found, found.models[0])


async def test_a_file_that_is_another_by_now_is_refused(
    bench: Workbench, hub: LocalHub, tiny_model: Path
) -> None:
    add_model(hub, tiny_model)
    found = await bench.list_repository(OWNER)
    hub.add(OWNER, "tiny-f16.gguf", b"another", commit="f" * 40)
    job = await bench.wait(bench.pull(found, found.models[0]))
    assert job.state is JobState.FAILED and "has another tiny-f16.gguf by now" in job.message
    assert job.crashed, "nothing is wrong with what was asked for"


async def test_a_wrong_digest_fails_the_job_with_a_sentence(
    bench: Workbench, hub: LocalHub, hub_home: Path
) -> None:
    hub.add(OWNER, "tiny-f16.gguf", b"x" * 9000, sent=b"y" * 9000)
    found = await bench.list_repository(OWNER)
    job = await bench.wait(bench.pull(found, found.models[0]))
    assert job.state is JobState.FAILED and "it was damaged on its way and is removed" in job.message
    assert not [path for path in hub_home.rglob("*") if path.is_file() and path.stat().st_size == 9000]


async def test_a_download_that_brings_next_to_nothing_is_left_and_what_came_is_kept(
    bench: Workbench, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lqtui.workbench.downloads._SILENCE_SECONDS", 3.0)
    hub.add(OWNER, "tiny-f16.gguf", bytes(300_000), hold=threading.Event())
    found = await bench.list_repository(OWNER)
    job = await bench.wait(bench.pull(found, found.models[0]))
    assert job.state is JobState.FAILED
    assert "sent next to nothing for 3 seconds; try again" in job.message


async def test_no_token_is_in_a_log(
    bench: Workbench, hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    add_model(hub, tiny_model, cuts=[5000], status=200)
    found = await bench.list_repository(OWNER)
    await done(bench, bench.pull(found, found.models[0]))
    hub.files.clear()
    hub.repositories[OWNER].status = 500
    with pytest.raises(WorkbenchError):
        await bench.list_repository(OWNER)
    logs = [log.read_text() for log in bench.paths.logs.iterdir()]
    assert logs and not any("hf_secret" in log for log in logs)
    assert {request.authorization for request in hub.requests} == {"Bearer hf_secret", None}
