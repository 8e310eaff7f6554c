"""What `lqtui models` does."""

from __future__ import annotations

import sys

from lqtui.cli import output
from lqtui.cli.driving import exit_unless_done, followed, on_bench
from lqtui.hub.values import CachedModel, Found, HubCache, HubModel, Removed, Repository
from lqtui.store.files import format_size
from lqtui.system import meters
from lqtui.system.disk import date_of
from lqtui.workbench import Job, Settings, Workbench, WorkbenchError
from lqtui.workbench.downloads import choose_model, memory_said, without_gguf


def search(query: str, limit: int, json: bool) -> None:
    """Print what a search finds."""

    async def run(bench: Workbench) -> Found:
        return await bench.search_hub(query, limit)

    found = on_bench(Settings(), run).repositories
    if json:
        output.print_json({"repositories": found})
        return
    if not found:
        output.fail(f"no repository with GGUF files has {query!r} in its name; try fewer or other words", 1)
    rows = [["repository", "license", "updated", "downloads", "likes"]]
    for item in found:
        mark = " (gated)" if item.gated else " (private)" if item.private else ""
        counts = [f"{item.downloads:,}", f"{item.likes:,}"]
        rows.append([item.id + mark, item.license, item.updated, *counts])
    output.print_table(rows, left=2)


def list_repository(name: str, json: bool) -> None:
    """Print a repository's models."""

    async def run(bench: Workbench) -> Repository:
        return await bench.list_repository(name)

    found = on_bench(Settings(), run)
    if json:
        output.print_json(_repository_document(found))
        return
    if not found.models:
        output.fail(without_gguf(found))
    print(output.shown(_heading(found)))
    rows = [["file", "type", "for", "size", ""]]
    rows += [[m.name, m.type or "?", m.fitness.value, format_size(m.bytes), _where(m)] for m in found.models]
    output.print_table(rows, left=3)
    print(output.shown(f"{format_size(found.free_bytes)} free in {found.cache}"))
    if found.unusable:
        print(f"{found.unusable} more under names that lqtui does not use")


def list_cached(json: bool) -> None:
    """Print the models that are in the cache."""

    async def run(bench: Workbench) -> HubCache:
        return await bench.cached_models()

    found = on_bench(Settings(), run)
    if json:
        output.print_json(
            {
                "directory": str(found.directory),
                "free_bytes": found.free_bytes,
                "partial_bytes": found.partial,
                "models": [_cached_document(model) for model in found.models],
            }
        )
        return
    if found.models:
        rows = [["model", "type", "for", "size", "last used"]]
        rows += [
            [
                f"{m.repository}:{m.name}",
                m.type or "?",
                m.fitness.value,
                format_size(m.bytes),
                f"{date_of(m.used).astimezone():%Y-%m-%d %H:%M}",
            ]
            for m in found.models
        ]
        output.print_table(rows, left=3)
    partial = f", {format_size(found.partial)} of broken downloads" if found.partial else ""
    total = format_size(sum(model.bytes for model in found.models))
    print(
        output.shown(
            f"{found.directory}: {total} of GGUF models{partial}; {format_size(found.free_bytes)} free"
        )
    )


def pull(model: str, json: bool) -> None:
    """Download a model, and print the path of its first file."""
    name, _, wanted = model.partition(":")

    async def run(bench: Workbench) -> tuple[Job, Repository, HubModel, str]:
        repository = await bench.list_repository(name)
        chosen = choose_model(repository, wanted)
        if not chosen.here:
            told = (
                f"{chosen.name}: {format_size(chosen.to_come)} to download, "
                f"{format_size(repository.free_bytes)} free in {repository.cache}; "
                f"{memory_said(chosen.bytes, meters.read())}"
            )
            print(output.shown(told), file=sys.stderr)
        job = await followed(bench, bench.pull(repository, chosen))
        return job, repository, chosen, str(bench.pulled(job) or "")

    job, repository, chosen, path = on_bench(Settings(), run, "stopped; what was downloaded so far is kept")
    exit_unless_done(job)
    if json:
        output.print_json(
            {
                "repository": repository.id,
                "path": path,
                "commit": repository.commit,
                **_model_document(chosen),
            }
        )
    else:
        print(path)


def rm(model: str, json: bool) -> None:
    """Remove a repository's models from the cache, or one of them."""
    name, _, wanted = model.partition(":")

    async def run(bench: Workbench) -> Removed:
        return await bench.remove_cached(name, await _cached_name(bench, name, wanted))

    removed = on_bench(Settings(), run)
    if json:
        output.print_json(
            {
                "models": removed.models,
                "freed_bytes": removed.freed_bytes,
                "kept_files": removed.kept_files,
            }
        )
        return
    kept = f"; {removed.kept_files} other files of {name} stay" if removed.kept_files else ""
    what = ", ".join(removed.models) or "what a broken download left"
    print(output.shown(f"removed {what}, {format_size(removed.freed_bytes)}{kept}"))


async def _cached_name(bench: Workbench, repository: str, wanted: str) -> str:
    """The name of a cached model that a person named by its file or its type."""
    if not wanted:
        return ""
    models = [m for m in (await bench.cached_models()).models if m.repository == repository]
    by_name = [m.name for m in models if wanted.lower() in (m.name.lower(), m.path.name.lower())]
    by_type = [m.name for m in models if wanted.upper().replace("FP", "F") == m.type]
    found = by_name or by_type
    if len(found) == 1:
        return found[0]
    if found:
        raise WorkbenchError(f"{wanted} is any of {', '.join(found)}; name one of them")
    there = ", ".join(m.name for m in models) or "nothing"
    raise WorkbenchError(f"the Hugging Face cache has no {wanted} of {repository}; it has {there}")


def _heading(found: Repository) -> str:
    parameters = f"{found.parameters / 1e9:.2f} billion parameters" if found.parameters else ""
    parts = [found.id, found.architecture, parameters, found.license, "gated" if found.gated else ""]
    return " · ".join(part for part in parts if part)


def _where(model: HubModel) -> str:
    if model.here:
        return "downloaded"
    if model.missing:
        return f"{model.missing} parts missing"
    return f"{format_size(model.partial)} downloaded" if model.partial else ""


def _repository_document(found: Repository) -> dict[str, object]:
    return {
        "repository": found.id,
        "commit": found.commit,
        "license": found.license,
        "gated": found.gated,
        "architecture": found.architecture,
        "parameters": found.parameters,
        "safetensors_bytes": found.safetensors,
        "cache": str(found.cache),
        "free_bytes": found.free_bytes,
        "models": [
            {
                **_model_document(model),
                "path": str(model.here) if model.here else None,
                "partial_bytes": model.partial,
            }
            for model in found.models
        ],
    }


def _model_document(model: HubModel) -> dict[str, object]:
    return {
        "file": model.name,
        "type": model.type or None,
        "for": model.fitness.value,
        "bytes": model.bytes,
        "files": model.files,
        "missing_parts": model.missing,
    }


def _cached_document(model: CachedModel) -> dict[str, object]:
    return {
        "repository": model.repository,
        "file": model.name,
        "type": model.type or None,
        "for": model.fitness.value,
        "bytes": model.bytes,
        "path": str(model.path),
        "last_used": date_of(model.used).astimezone().isoformat(timespec="seconds"),
    }
