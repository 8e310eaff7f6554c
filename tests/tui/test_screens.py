"""The dialogs of files and recipes: what each gives back, and what it refuses with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_shapes import llama_shape
from textual.app import App
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from lqtui.recipe.presets import MIX_NAMES, PRESET_NAMES, PROFILE_NAMES
from lqtui.recipe.recipe import Recipe
from lqtui.tui.screens.export import ExportScreen
from lqtui.tui.screens.log import LogScreen
from lqtui.tui.screens.open_model import GgufTree, OpenModelScreen
from lqtui.tui.screens.presets import PresetScreen
from lqtui.tui.screens.save import SaveRecipeScreen

SCRIPT = "#!/usr/bin/env bash\nset -euo pipefail\necho [bold]not markup[/bold]\n"
OPEN = "the dialog is still open"


class DialogApp(App[None]):
    """Shows one dialog and keeps what it gives back."""

    def __init__(self, dialog: ModalScreen[object]) -> None:
        super().__init__()
        self.dialog = dialog
        self.answer: object = OPEN

    def on_mount(self) -> None:
        def keep(answer: object) -> None:
            self.answer = answer

        self.push_screen(self.dialog, keep)


def said(app: DialogApp) -> str:
    """All the text of the dialog's labels."""
    return "\n".join(str(static.visual) for static in app.dialog.query(Static))


async def settle(pilot: Pilot[None]) -> None:
    """Wait for the folder's contents, which a thread reads."""
    root = pilot.app.screen.query_one(GgufTree).root
    for _ in range(100):
        await pilot.pause(0.02)
        if root.children:
            return


# -- the export script


async def test_export_shows_the_script_as_it_is_and_saves_at_the_default_path(tmp_path: Path) -> None:
    app = DialogApp(ExportScreen(SCRIPT, tmp_path / "recipe.sh"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        assert "echo [bold]not markup[/bold]" in said(app)
        await pilot.press("s")
        await pilot.pause()
        assert app.answer == tmp_path / "recipe.sh"


async def test_export_saves_at_the_path_that_was_typed(tmp_path: Path) -> None:
    app = DialogApp(ExportScreen(SCRIPT, tmp_path / "recipe.sh"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("tab")
        line = app.dialog.query_one(Input)
        assert line.has_focus
        line.value = str(tmp_path / "other")
        await pilot.press("enter")
        await pilot.pause()
        assert app.answer == tmp_path / "other.sh"


@pytest.mark.parametrize(
    ("typed", "saved"),
    [("Qwen2-0.5B", "Qwen2-0.5B.sh"), ("run.bash", "run.bash"), ("run.sh", "run.sh"), ("sub", "sub.sh")],
)
async def test_a_name_without_an_ending_gets_one(tmp_path: Path, typed: str, saved: str) -> None:
    app = DialogApp(ExportScreen(SCRIPT, tmp_path / "recipe.sh"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("tab")
        app.dialog.query_one(Input).value = str(tmp_path / typed)
        await pilot.press("enter")
        await pilot.pause()
        assert app.answer == tmp_path / saved


async def test_export_asks_before_it_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "recipe.sh"
    path.write_text("mine")
    app = DialogApp(ExportScreen(SCRIPT, path))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        await pilot.press("s")
        await pilot.pause()
        assert app.answer is OPEN
        assert "recipe.sh exists: once more overwrites it." in said(app)
        await pilot.press("s")
        await pilot.pause()
        assert app.answer == path
        assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "Type a path."),
        ("{tmp}", "is a directory"),
        ("{tmp}/none/recipe.sh", "There is no directory"),
        ("{tmp}/[/none]/recipe.sh", "[/none]"),
        ("/" + "x" * 300, "cannot be used"),
    ],
)
async def test_export_refuses_a_path_that_cannot_be_written(
    tmp_path: Path, typed: str, sentence: str
) -> None:
    app = DialogApp(ExportScreen(SCRIPT, tmp_path / "recipe.sh"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("tab")
        app.dialog.query_one(Input).value = typed.format(tmp=tmp_path)
        await pilot.press("enter")
        await pilot.pause()
        assert app.answer is OPEN
        assert sentence in said(app)


async def test_copy_hands_the_script_to_the_clipboard_and_stays_open(tmp_path: Path) -> None:
    app = DialogApp(ExportScreen(SCRIPT, tmp_path / "recipe.sh"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("c")
        assert app.clipboard == SCRIPT
        assert app.answer is OPEN
        await pilot.press("escape")
        await pilot.pause()
        assert app.answer is None


async def test_buttons_do_what_their_keys_do(tmp_path: Path) -> None:
    app = DialogApp(ExportScreen(SCRIPT, tmp_path / "recipe.sh"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.click("#copy")
        assert app.clipboard == SCRIPT
        await pilot.click("#save")
        await pilot.pause()
        assert app.answer == tmp_path / "recipe.sh"


# -- presets


async def test_all_presets_are_offered_in_groups_with_their_size() -> None:
    app = DialogApp(PresetScreen(llama_shape()))
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.pause()
        options = app.dialog.query_one(OptionList)
        ids = [option.id for option in options.options if option.id]
        published = [f"{name}_as_published" for name in PRESET_NAMES]
        assert ids == [*PRESET_NAMES, *PROFILE_NAMES, *published, *MIX_NAMES]
        titles = [str(option.prompt) for option in options.options if option.id is None]
        assert [title.split()[0] for title in titles] == ["published", "profiles", "as", "llama.cpp's"]
        prompts = {option.id: str(option.prompt) for option in options.options}
        assert "87.5" in prompts["uniform_q4_0"]
        assert "94.2" in prompts["first_4_layers_q8"]
        assert "128.0" in prompts["first_4_layers_q8_as_published"]
        assert "same types" in prompts["last_4_layers_q8_as_published"]
        assert "not for this model" in prompts["Q1_0"]


async def test_mixes_that_need_an_importance_matrix_say_so() -> None:
    app = DialogApp(PresetScreen(llama_shape(width=512, heads=8, kv_heads=8)))
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.pause()
        prompts = {o.id: str(o.prompt) for o in app.dialog.query_one(OptionList).options}
        needing = {name for name, prompt in prompts.items() if "needs an importance matrix" in prompt}
        assert {"IQ1_S", "IQ2_XXS", "IQ3_XXS", "Q2_K_S"} <= needing
        assert not needing & {"Q4_K_M", "Q2_K", "IQ3_S", "IQ4_XS", "TQ1_0", "MXFP4_MOE"}


async def test_tab_goes_from_group_to_group_and_enter_gives_a_mix() -> None:
    app = DialogApp(PresetScreen(llama_shape()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        options = app.dialog.query_one(OptionList)
        firsts = []
        for _ in range(5):
            firsts.append(options.get_option_at_index(options.highlighted or 0).id)
            await pilot.press("tab")
        assert firsts == ["baseline_fp16", "profile_q8", "baseline_fp16_as_published", "F32", "baseline_fp16"]
        await pilot.press("shift+tab", "shift+tab", "down", "down", "down")
        await pilot.pause()
        assert "The mix Q8_0 of llama-quantize, no overrides." in said(app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.answer, Recipe)
        assert (app.answer.name, app.answer.base) == ("Q8_0", "Q8_0")


async def test_the_highlighted_preset_is_described_and_enter_gives_it() -> None:
    app = DialogApp(PresetScreen(llama_shape()))
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("down", "j")
        await pilot.pause()
        assert "Blocks 0-3 Q8_0, the rest Q4_0." in said(app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.answer, Recipe)
        assert app.answer.name == "first_4_layers_q8"


async def test_a_preset_as_published_is_labelled_as_what_it_is() -> None:
    app = DialogApp(PresetScreen(llama_shape()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("tab", "tab", "enter")
        await pilot.pause()
        assert isinstance(app.answer, Recipe)
        assert app.answer.name == "baseline_fp16_as_published"


async def test_escape_chooses_no_preset() -> None:
    app = DialogApp(PresetScreen(llama_shape()))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("escape")
        await pilot.pause()
        assert app.answer is None


# -- models


async def test_only_folders_and_gguf_files_are_offered(tmp_path: Path) -> None:
    for name in ("b.gguf", "A.GGUF", "notes.txt", ".hidden.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    (tmp_path / "sub").mkdir()
    app = DialogApp(OpenModelScreen(tmp_path))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        tree = app.dialog.query_one(GgufTree)
        assert sorted(str(node.label) for node in tree.root.children) == ["A.GGUF", "b.gguf", "sub"]


async def test_a_file_chosen_in_the_folder_is_given_back(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    app = DialogApp(OpenModelScreen(tmp_path))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert app.answer == tmp_path / "model.gguf"


async def test_a_typed_file_is_given_back_and_a_typed_folder_is_shown(tmp_path: Path) -> None:
    sub = tmp_path / "sub"
    sub.mkdir()
    (sub / "model.gguf").write_bytes(b"GGUF")
    app = DialogApp(OpenModelScreen(tmp_path))
    async with app.run_test(size=(100, 30)) as pilot:
        line = app.dialog.query_one(Input)
        await pilot.press("slash")
        line.value = str(sub)
        await pilot.press("enter")
        await settle(pilot)
        assert app.answer is OPEN
        assert [str(n.label) for n in app.dialog.query_one(GgufTree).root.children] == ["model.gguf"]
        await pilot.press("slash")
        line.value = str(sub / "none.gguf")
        await pilot.press("enter")
        await pilot.pause()
        assert "There is no file" in said(app)
        line.value = str(sub / "model.gguf")
        await pilot.press("enter")
        await pilot.pause()
        assert app.answer == sub / "model.gguf"


async def test_backspace_shows_the_folder_above(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    app = DialogApp(OpenModelScreen(tmp_path / "sub"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("backspace")
        await settle(pilot)
        labels = [str(node.label) for node in app.dialog.query_one(GgufTree).root.children]
        assert "model.gguf" in labels


async def test_a_start_that_is_gone_becomes_the_nearest_folder(tmp_path: Path) -> None:
    app = DialogApp(OpenModelScreen(tmp_path / "gone" / "model.gguf"))
    async with app.run_test(size=(100, 30)):
        assert app.dialog.query_one(Input).value == str(tmp_path)


# -- saving a recipe, reading a log


async def test_a_recipe_is_saved_as_toml_under_its_name(tmp_path: Path) -> None:
    app = DialogApp(SaveRecipeScreen("first 4 / q8", tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.dialog.query_one(Input).value == str(tmp_path / "first-4-q8.toml")
        await pilot.press("enter")
        await pilot.pause()
        assert app.answer == tmp_path / "first-4-q8.toml"


async def test_a_recipe_saved_over_another_is_asked_about_and_editing_withdraws(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("name = 'mine'")
    app = DialogApp(SaveRecipeScreen("mine", tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await pilot.pause()
        assert "mine.toml exists" in said(app)
        await pilot.press("x", "backspace")
        await pilot.pause()
        assert "exists" not in said(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.answer is OPEN
        await pilot.press("escape")
        await pilot.pause()
        assert app.answer is None


async def test_a_log_opens_at_its_end_and_is_no_markup() -> None:
    text = "\n".join(f"line {i} [red]not red[/red]" for i in range(200))
    app = DialogApp(LogScreen("log of [x]", lambda: text, lambda: False))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "line 199 [red]not red[/red]" in said(app)
        view = app.dialog.query("ScrollableContainer").first()
        assert view.scroll_offset.y == view.max_scroll_y > 0
        await pilot.press("g")
        await pilot.pause()
        assert view.scroll_offset.y == 0
        await pilot.press("c", "escape")
        await pilot.pause()
        assert app.clipboard == text
        assert app.answer is None


async def test_an_empty_log_says_so() -> None:
    app = DialogApp(LogScreen("log", str, lambda: False))
    async with app.run_test(size=(80, 24)):
        assert "The log is empty." in said(app)
