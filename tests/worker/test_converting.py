"""Models in safetensors through a converter: what it is told, how it ends, and what is left of a failure."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from checkpoints import StandIn, write_checkpoint, write_python, write_safetensors, write_stand_in

from lqtui.store.files import SPACE_MARGIN
from lqtui.worker.client import EngineDied, JobFailed
from lqtui.worker.convert_messages import Convert
from lqtui.worker.messages import Event, Progress
from tests.worker.child_runs import Run, is_gone


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A converter that is found where people say it is."""
    found = write_stand_in(tmp_path / "tools")
    monkeypatch.setenv("LQTUI_CONVERTER", str(found.checkout))
    monkeypatch.setenv("LQTUI_CONVERTER_PYTHON", str(found.python))
    return found


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No converter that anybody named, or that is on the PATH."""
    for name in ("LQTUI_CONVERTER", "LQTUI_CONVERTER_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", os.pathsep.join(["/bin", "/usr/bin"]))


def writing(event: Event) -> bool:
    return isinstance(event, Progress) and event.stage == "writing" and event.done == 40


# Converting


async def test_the_converters_file_is_the_result_and_its_words_are_in_the_log(
    run: Run, tmp_path: Path, stand_in: StandIn, tiny_model: Path
) -> None:
    folder, out = write_checkpoint(tmp_path / "model", gguf=tiny_model), tmp_path / "out.gguf"
    done = await run(Convert(folder, out, "bf16"))
    assert out.read_bytes() == tiny_model.read_bytes() and done.bytes == out.stat().st_size
    told = stand_in.called
    assert told["arguments"][:2] == ["--outtype", "bf16"] and told["arguments"][-2:] == ["--", str(folder)]
    assert "--model-name" not in told["arguments"]
    assert told["python"] == str(stand_in.python)
    assert told["offline"] == "1" and told["input"] == ""
    assert [p.done for p in run.of(Progress) if p.stage == "writing"] == [0, 40, 100]
    log = run.log.read_text()
    assert "Loading model: model" in log and "successfully exported" in log
    assert out.stat().st_mode & 0o777 == 0o666 & ~_umask()


async def test_odd_names_reach_the_converter_as_they_are(
    run: Run, tmp_path: Path, stand_in: StandIn, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "--vocab-only $(x) 'é", gguf=tiny_model)
    out = tmp_path / "-o; rm 'ü.gguf"
    await run(Convert(Path("--vocab-only $(x) 'é"), out))
    assert out.read_bytes() == tiny_model.read_bytes()


async def test_a_snapshot_of_the_hub_is_given_its_repositorys_name(
    run: Run, tmp_path: Path, stand_in: StandIn, tiny_model: Path
) -> None:
    folder = tmp_path / "models--Qwen--Qwen2-0.5B" / "snapshots" / "0123abcd"
    await run(Convert(write_checkpoint(folder, gguf=tiny_model), tmp_path / "out.gguf"))
    arguments = stand_in.called["arguments"]
    assert isinstance(arguments, list)
    assert arguments[arguments.index("--model-name") + 1] == "Qwen2-0.5B"


# Ending otherwise


@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        ("refuses", "failed with exit code 1: ERROR:hf-to-gguf:Model FooForCausalLM is not supported"),
        ("crashes", "was ended by signal 9 (the system does that when memory runs out)"),
        ("fills the disk", "the disk became full"),
        ("writes nothing", "wrote no GGUF file"),
    ],
)
async def test_a_failure_is_one_sentence_and_what_was_there_stays(
    run: Run, tmp_path: Path, stand_in: StandIn, does: str, sentence: str
) -> None:
    out = tmp_path / "out.gguf"
    out.write_text("an older file")
    with pytest.raises(JobFailed) as failure:
        await run(Convert(write_checkpoint(tmp_path / "model", does), out))
    assert sentence in str(failure.value) and "\n" not in str(failure.value)
    assert out.read_text() == "an older file"
    assert _files_in(tmp_path) == {"out.gguf", "job.log"}


@pytest.mark.parametrize("how", ["cancelled", "killed", "killed with the app"])
async def test_the_converter_ends_with_its_job_and_leaves_nothing(
    run: Run, tmp_path: Path, stand_in: StandIn, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "killed with the app":
        if sys.platform != "linux":
            pytest.skip("the system cannot tie a process to its parent")
        monkeypatch.setattr("lqtui.worker.client._signal_group", lambda *_: None)  # nobody is left to do it
    run.until = writing
    folder = write_checkpoint(tmp_path / "model", "takes long")
    job = asyncio.create_task(run(Convert(folder, tmp_path / "out.gguf")))
    await asyncio.wait_for(run.reached.wait(), 20)
    converter = stand_in.called["pid"]
    assert isinstance(converter, int) and not is_gone(converter)
    if how != "cancelled":
        os.kill(run.pid, signal.SIGKILL)
    else:
        job.cancel()
    with pytest.raises((asyncio.CancelledError, EngineDied)):
        await asyncio.wait_for(job, 10)
    assert is_gone(run.pid)
    for _ in range(100):  # it is killed with its group, and nobody waits for it
        if is_gone(converter):
            break
        await asyncio.sleep(0.02)
    assert is_gone(converter)
    assert _files_in(tmp_path) == {"job.log"}


# What is refused before


async def test_a_model_that_is_larger_than_the_disk_is_refused_first(
    run: Run, tmp_path: Path, stand_in: StandIn
) -> None:
    folder = write_checkpoint(tmp_path / "model")
    free = shutil.disk_usage(tmp_path).free
    side = 1 << 20
    rows = (free - SPACE_MARGIN) // (2 * side) + 1
    file = folder / "model.safetensors"
    write_safetensors(file, {"huge": ("U8", (rows, side), 1)})  # a byte is as good as many: it is not read
    with pytest.raises(JobFailed, match="to spare, but only"):
        await run(Convert(folder, tmp_path / "out.gguf"))
    assert not (stand_in.checkout / "called.json").exists()


async def test_python_that_comes_with_a_model_is_run_only_if_somebody_says_so(
    run: Run, tmp_path: Path, stand_in: StandIn, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    folder, out = write_checkpoint(tmp_path / "model", gguf=tiny_model), tmp_path / "out.gguf"
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": "tok.Tok"}}))
    with pytest.raises(JobFailed, match=r"Python of its own \(tok\.Tok\).*--trust-code"):
        await run(Convert(folder, out))
    assert not (stand_in.checkout / "called.json").exists()
    await run(Convert(folder, out, trust_code=True))
    assert out.exists() and stand_in.called["offline"] is None


async def test_a_name_that_the_converter_would_change_is_refused(
    run: Run, tmp_path: Path, stand_in: StandIn
) -> None:
    with pytest.raises(JobFailed, match="does not take braces"):
        await run(Convert(write_checkpoint(tmp_path / "model"), tmp_path / "{ftype}.gguf"))


@pytest.mark.parametrize("name", ["nowhere/out.gguf", "model"])
async def test_a_place_that_cannot_be_written_to_is_refused(
    run: Run, tmp_path: Path, stand_in: StandIn, name: str
) -> None:
    folder = write_checkpoint(tmp_path / "model")
    with pytest.raises(JobFailed, match="folder"):
        await run(Convert(folder, tmp_path / name))
    assert not (stand_in.checkout / "called.json").exists()


# Where the converter is, and its Python


async def test_without_a_converter_it_is_said_how_to_get_one(run: Run, tmp_path: Path, nowhere: None) -> None:
    with pytest.raises(
        JobFailed, match=r"is not on this machine; get it with: git clone .*llama\.cpp.*--converter"
    ):
        await run(Convert(write_checkpoint(tmp_path / "model"), tmp_path / "out.gguf"))


@pytest.mark.parametrize("executable", [True, False])
async def test_a_converter_on_the_path_is_found(
    run: Run,
    tmp_path: Path,
    nowhere: None,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    executable: bool,
) -> None:
    found = write_stand_in(tmp_path / "tools")
    found.script.chmod(0o755 if executable else 0o644)
    monkeypatch.setenv("PATH", f"{found.checkout}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LQTUI_CONVERTER_PYTHON", str(found.python))
    await run(Convert(write_checkpoint(tmp_path / "model", gguf=tiny_model), tmp_path / "out.gguf"))
    assert found.called["python"] == str(found.python)


@pytest.mark.parametrize("script", [True, False])
async def test_a_chosen_converter_comes_before_every_other(
    run: Run, tmp_path: Path, stand_in: StandIn, tiny_model: Path, script: bool
) -> None:
    other = write_stand_in(tmp_path / "other")
    folder = write_checkpoint(tmp_path / "model", gguf=tiny_model)
    await run(Convert(folder, tmp_path / "out.gguf", converter=other.script if script else other.checkout))
    assert other.called and not (stand_in.checkout / "called.json").exists()


async def test_a_checkouts_own_environment_runs_its_converter(
    run: Run, tmp_path: Path, nowhere: None, tiny_model: Path
) -> None:
    found = write_stand_in(tmp_path / "tools")
    own = write_python(found.checkout / ".venv" / "bin" / "python")
    folder = write_checkpoint(tmp_path / "model", gguf=tiny_model)
    await run(Convert(folder, tmp_path / "out.gguf", converter=found.checkout))
    assert found.called["python"] == str(own)


async def test_an_installed_converter_is_run_by_the_python_that_its_first_line_names(
    run: Run, tmp_path: Path, nowhere: None, tiny_model: Path
) -> None:
    found = write_stand_in(tmp_path / "tools")
    named = write_python(tmp_path / "libexec" / "python3")
    found.script.write_text(found.script.read_text().replace("/usr/bin/env python3", str(named), 1))
    folder = write_checkpoint(tmp_path / "model", gguf=tiny_model)
    await run(Convert(folder, tmp_path / "out.gguf", converter=found.script))
    assert found.called["python"] == str(named)


async def test_what_a_python_lacks_is_said_in_one_sentence_with_what_to_type(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = write_stand_in(tmp_path / "tools", lacking=("torch", "google/protobuf"))
    monkeypatch.setenv("LQTUI_CONVERTER_PYTHON", str(found.python))
    folder = write_checkpoint(tmp_path / "model")
    with pytest.raises(JobFailed) as failure:
        await run(Convert(folder, tmp_path / "out.gguf", converter=found.checkout))
    requirements = found.checkout / "requirements" / "requirements-convert_hf_to_gguf.txt"
    assert f"{found.python} lacks torch and protobuf, which {found.script} needs" in str(failure.value)
    assert f"{found.checkout}/.venv/bin/pip install -r {requirements}" in str(failure.value)
    shutil.rmtree(found.checkout / "requirements")
    shutil.rmtree(found.checkout / "gguf-py")
    with pytest.raises(JobFailed, match=r"lacks torch, protobuf and gguf, .*git clone"):
        await run(Convert(folder, tmp_path / "out.gguf", converter=found.script))


@pytest.mark.parametrize("python", ["/nowhere/python", "false"])
async def test_a_python_that_cannot_be_run_is_told(
    run: Run, tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    monkeypatch.setenv("LQTUI_CONVERTER_PYTHON", python)
    with pytest.raises(JobFailed, match="cannot be run"):
        await run(Convert(write_checkpoint(tmp_path / "model"), tmp_path / "out.gguf"))


async def test_a_converter_that_is_not_where_it_should_be_is_told(run: Run, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    with pytest.raises(JobFailed, match=r"--converter names .*neither convert_hf_to_gguf\.py nor a checkout"):
        await run(Convert(folder, tmp_path / "out.gguf", converter=tmp_path))


def _files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
