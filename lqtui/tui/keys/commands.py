"""Every command of the main screen, once: it feeds the bindings, the key bar, the palette and the help."""

from __future__ import annotations

from lqtui.tui.keys.command import Command
from lqtui.tui.keys.slots import SLOT_COMMANDS

MOVE, SELECT, TYPES, RECIPE, RUN, MATTERS, MEMORY, VIEW = (
    "Move",
    "Select",
    "Set types",
    "Recipe",
    "Measure",
    "Which layers deserve the bits",
    "Memory",
    "View and quit",
)

GRID_COMMANDS: tuple[Command, ...] = (
    Command("grid.up", "up,k", "move(-1, 0)", "Up", "Move up a row.", MOVE),
    Command("grid.down", "down,j", "move(1, 0)", "Down", "Move down a row.", MOVE),
    Command(
        "grid.left",
        "left,h",
        "move(0, -1)",
        "Left",
        "Move left; from the first tensor, back to the block.",
        MOVE,
    ),
    Command(
        "grid.right", "right,l", "move(0, 1)", "Right", "Move right; from a block, into its tensors.", MOVE
    ),
    Command("grid.page_up", "pageup,ctrl+u", "page(-1)", "Page up", "Move up a page.", MOVE),
    Command("grid.page_down", "pagedown,ctrl+d", "page(1)", "Page down", "Move down a page.", MOVE),
    Command("grid.first", "g,home", "edge(-1)", "First row", "Go to the first row.", MOVE),
    Command("grid.last", "G,end", "edge(1)", "Last row", "Go to the last row.", MOVE),
    Command(
        "grid.open_block",
        "enter",
        "open_block",
        "Open block",
        "Open a block into its tensors, or close it.",
        MOVE,
    ),
    Command("grid.block_scope", "[", "scope('block')", "Block scope", "Let keys act on whole blocks.", MOVE),
    Command(
        "grid.tensor_scope", "]", "scope('tensor')", "Tensor scope", "Let keys act on single tensors.", MOVE
    ),
    Command(
        "grid.range",
        "v",
        "range",
        "Select a range",
        "Start a range here; moving stretches it; again to end it.",
        SELECT,
        "range",
    ),
    Command(
        "grid.all",
        "a",
        "all",
        "Select all",
        "Select all blocks, or this tensor in every block; again for more.",
        SELECT,
        "all",
    ),
    Command(
        "grid.clear", "escape", "clear", "Clear selection", "End the range; then back to block scope.", SELECT
    ),
    Command(
        "type.cycle",
        "space",
        "cycle",
        "Cycle type",
        "F16, then Q8_0, then Q4_0, then F16 again.",
        TYPES,
        "cycle",
    ),
    Command(
        "type.f16",
        "f",
        "set_type('F16')",
        "Set F16",
        "Leave unquantized: F16 (BF16 where the model is).",
        TYPES,
        "F16",
    ),
    Command(
        "type.q8", "8", "set_type('Q8_0')", "Set Q8_0", "Quantize to Q8_0: 8.5 bits per weight.", TYPES, "Q8"
    ),
    Command(
        "type.q4", "4", "set_type('Q4_0')", "Set Q4_0", "Quantize to Q4_0: 4.5 bits per weight.", TYPES, "Q4"
    ),
    Command(
        "type.pick", "t", "pick_type", "Pick a type", "Choose among all of llama.cpp's types.", TYPES, "type"
    ),
)
"""What keys do while the layer grid has the focus."""

SCREEN_COMMANDS: tuple[Command, ...] = (
    Command(
        "type.inspect",
        "d",
        "inspect",
        "Inspect a tensor",
        "See what each type makes of the weights under the cursor, block by block.",
        TYPES,
    ),
    Command("recipe.undo", "u", "undo", "Undo", "Take the last edit back.", RECIPE, "undo"),
    Command("recipe.redo", "U", "redo", "Redo", "Make the edit again.", RECIPE, "redo"),
    Command(
        "recipe.presets", "p", "presets", "Presets", "Choose one of the published recipes.", RECIPE, "presets"
    ),
    Command(
        "recipe.save",
        "n",
        "save_recipe",
        "Name and save",
        "Name the recipe and save it as TOML.",
        RECIPE,
        "save",
    ),
    Command(
        "recipe.import",
        "i",
        "import_recipe",
        "Import a recipe",
        "Read a recipe from TOML, JSON, a tensor-type file or a script; or a GGUF: its types, or itself.",
        RECIPE,
    ),
    Command(
        "recipe.compare",
        "equals_sign",
        "compare",
        "Compare",
        "Compare this recipe with another one, or with the types of a GGUF, cell by cell.",
        RECIPE,
    ),
    Command(
        "recipe.export",
        "e",
        "export",
        "Export script",
        "Preview, save or copy the llama-quantize script.",
        RECIPE,
        "export",
    ),
    Command(
        "recipe.write", "w", "write_model", "Write GGUF", "Write the quantized model to a GGUF file.", RECIPE
    ),
    Command("model.open", "o", "open_model", "Open model", "Open another GGUF model.", RECIPE, "open"),
    Command(
        "recipe.imatrix",
        "X",
        "imatrix",
        "Importance matrix",
        "Compute an importance matrix, or choose the one that the recipe is quantized by.",
        RECIPE,
    ),
    Command(
        "model.hub",
        "D",
        "hub",
        "Download a model",
        "Search the Hugging Face Hub, download a model, and open it.",
        RECIPE,
    ),
    Command(
        "run.measure",
        "r",
        "measure",
        "Measure",
        "Measure this recipe in the background: KLD from the base, perplexity and speed.",
        RUN,
        "measure",
    ),
    Command(
        "run.again",
        "R",
        "measure_again",
        "Measure again",
        "Measure this recipe anew, even what is known of it: a speed marked ~ was disturbed.",
        RUN,
    ),
    Command(
        "run.sweep",
        "s",
        "sweep",
        "Measure presets",
        "Measure all the published recipes, side by side, chunk by chunk.",
        RUN,
        "sweep",
    ),
    Command(
        "run.types",
        "T",
        "measure_types",
        "Measure types",
        "Measure the whole model at every type from F16 to IQ1_S, side by side.",
        RUN,
    ),
    Command(
        "run.report",
        "E",
        "report",
        "Report",
        "Write what was measured as HTML, Markdown or CSV, with chart and environment.",
        RUN,
    ),
    Command(
        "run.chat",
        "P",
        "chat",
        "Chat",
        "Ask this recipe something, and read the base model's answer beside its own.",
        RUN,
    ),
    Command("run.cancel", "x", "cancel_job", "Cancel job", "Cancel the job that runs.", RUN),
    Command(
        "run.corpus",
        "C",
        "choose_corpus",
        "Choose corpus",
        "Choose the text that recipes are measured on.",
        RUN,
    ),
    Command(
        "matters.sensitivity",
        "m",
        "sensitivity",
        "What matters",
        "Measure what each tensor or block costs alone, or only estimate it.",
        MATTERS,
        "matters",
    ),
    Command(
        "matters.score",
        "I",
        "next_score",
        "Importance column",
        "Show the next score in the layers: measured KLD, weighted error, LIM, ZD, none.",
        MATTERS,
    ),
    Command(
        "matters.budget",
        "b",
        "budget",
        "Fit a budget",
        "Find the recipe of least KLD for a file size, bits per weight, or memory.",
        MATTERS,
        "budget",
    ),
    Command(
        "matters.frontier",
        "F",
        "frontier",
        "Frontier",
        "List the best recipe of every size, with the knee; enter puts one in the grid.",
        MATTERS,
        "frontier",
    ),
    Command(
        "matters.lowering",
        "L",
        "lowering",
        "Lowering curves",
        "See how long quality lasts as blocks are lowered one by one, in the order of each score.",
        MATTERS,
    ),
    Command(
        "matters.why",
        "y",
        "why",
        "Why this type",
        "Say why the fitted recipe gave what is under the cursor its type.",
        MATTERS,
    ),
    Command(
        "fit.memory",
        "M",
        "memory",
        "Memory",
        "See what the memory is needed for; choose the context and its KV cache's types.",
        MEMORY,
    ),
    Command(
        "fit.longer", "plus", "fit_context(1)", "Longer context", "Tell memory for twice the context.", MEMORY
    ),
    Command(
        "fit.shorter", "minus", "fit_context(-1)", "Shorter context", "Tell it for half the context.", MEMORY
    ),
    Command(
        "chart.metric",
        "c",
        "next_metric",
        "KLD, PPL, tok/s or top-1",
        "Show the next of KLD, PPL, tok/s and top-1 in the chart, and first in the results.",
        VIEW,
        "chart",
    ),
    Command(
        "pane.filter",
        "slash",
        "filter",
        "Filter",
        "Show and select only what matches: a name, type, blocks, mixed; in the results, a name.",
        VIEW,
    ),
    Command("pane.next", "tab", "next_pane(1)", "Next pane", "Go to the next pane.", VIEW),
    Command("pane.previous", "shift+tab", "next_pane(-1)", "Previous pane", "Go to the pane before.", VIEW),
    Command("pane.layers", "f2", "pane('layers')", "Layers", "Go to the layers.", VIEW),
    Command("pane.budget", "f3", "pane('budget')", "Budget", "Go to the budget and the chart.", VIEW),
    Command("pane.results", "f4", "pane('results')", "Results", "Go to the results.", VIEW),
    Command("pane.jobs", "f5", "pane('jobs')", "Jobs", "Go to the jobs.", VIEW),
    Command(
        "view.columns",
        "O",
        "columns",
        "Columns of the layers",
        "Choose what the layers show beside the types: sizes, bits, scores, predictions.",
        VIEW,
    ),
    Command(
        "pane.zoom", "z", "zoom", "Zoom a pane", "Give the present pane the whole screen, or all again.", VIEW
    ),
    Command(
        "pane.narrower",
        "less_than_sign",
        "resize_layers(-4)",
        "Narrower layers",
        "Give the layers fewer columns; the mouse drags the border.",
        VIEW,
    ),
    Command(
        "pane.wider",
        "greater_than_sign",
        "resize_layers(4)",
        "Wider layers",
        "Give the layers more columns; the mouse drags the border.",
        VIEW,
    ),
    *SLOT_COMMANDS,
    Command("app.help", "?,f1", "help", "Help", "Show every key.", VIEW, "help"),
    Command(
        "app.palette",
        "ctrl+p",
        "app.command_palette",
        "Command palette",
        "Search every command by name.",
        VIEW,
        "commands",
    ),
    Command("app.quit", "q,ctrl+q", "quit", "Quit", "Leave lqtui; asks first when jobs run.", VIEW, "quit"),
)
"""What keys do anywhere on the main screen."""

COMMANDS = GRID_COMMANDS + SCREEN_COMMANDS
