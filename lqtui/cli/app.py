"""The command line's root: `lqtui MODEL` opens the app; `commands/` adds the commands to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lqtui.cli.options import Chunks, Corpus, Ctx, FitCtx, GpuLayers, KvType, Requantize, Threads

_OPEN = "open"
_EXAMPLES = """\b
Examples:
  lqtui model-f16.gguf
  lqtui measure model-f16.gguf --preset Q4_K_M --kld
  lqtui fit model-f16.gguf --size 400MiB -o best.toml
  lqtui export model-f16.gguf --recipe best.toml -o quantize.sh"""


class _ModelFirst(TyperGroup):
    """`lqtui MODEL` opens the app: what is neither a command nor a group option belongs to `open`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first not in ("-h", "--help") and not (first in self.commands and first != _OPEN):
            args = [_OPEN, *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options of the app, which `lqtui MODEL` takes; then the commands."""
        opening = self.commands[_OPEN]
        records = [p.get_help_record(ctx) for p in opening.params if p.param_type_name == "option"]
        with formatter.section("Options of the app"):
            formatter.write_dl([record for record in records if record is not None])
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each command with the first words of its help."""
        shown = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        shown = [(name, command) for name, command in shown if not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl([(name, _short(command.help or "")) for name, command in shown])


def _short(help: str) -> str:
    """What a command does, in its help's first words: no clause that says more of it, no word cut."""
    return re.split(r"[.:;](?: |$)", " ".join(help.split("\n\n")[0].split()))[0]


app = typer.Typer(
    cls=_ModelFirst,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Choose the quantization of every layer of a GGUF model, and see what it costs.\n\n"
    "`lqtui [MODEL]` opens the app. The commands below do the same work for scripts; all of them take --json "
    "(one JSON document on standard output, progress on standard error) and exit with 0 (done), "
    "1 (failed) or 2 (usage or bad input). `lqtui COMMAND --help` tells more of a command.",
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
)


@app.command(_OPEN, hidden=True)
def open_app(
    context: typer.Context,
    model: Annotated[Path | None, typer.Argument(metavar="[MODEL]")] = None,
    corpus: Corpus = None,
    chunks: Chunks = 5,
    ctx: Ctx = 512,
    threads: Threads = 0,
    gpu_layers: GpuLayers = -1,
    fit_ctx: FitCtx = 4096,
    kv_type: KvType = "F16",
    requantize: Requantize = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, and not where you left.")] = False,
    ascii: Annotated[
        bool | None,
        typer.Option("--ascii/--no-ascii", help="Draw with ASCII alone; else as the locale says."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Open the app, with a model or without."""
    from lqtui.cli import runs, starting

    if version:
        from lqtui import __version__

        print(f"lqtui {__version__}")
        return
    settings = runs.settings(corpus, chunks, ctx, threads, gpu_layers, fit_ctx=fit_ctx, kv_type=kv_type)
    given = [name for option, names in _SETTINGS.items() if _is_given(context, option) for name in names]
    starting.open_app(model, settings, requantize, _command_names(), given=given, fresh=fresh, ascii=ascii)


_SETTINGS = {
    "corpus": ("corpus",),
    "chunks": ("chunks",),
    "ctx": ("n_ctx",),
    "threads": ("threads",),
    "gpu_layers": ("gpu_layers",),
    "fit_ctx": ("fit_ctx",),
    "kv_type": ("type_k", "type_v"),
}
"""The options of the app that are settings, and what the settings are called."""


def _is_given(context: typer.Context, option: str) -> bool:
    """Whether a person wrote an option on this command line."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _command_names() -> list[str]:
    command: Any = typer.main.get_command(app)
    return [name for name in command.commands if name != _OPEN]
