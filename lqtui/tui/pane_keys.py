"""The commands of the lists beside the layers: what keys do while one of them has the focus."""

from __future__ import annotations

from collections.abc import Mapping

from lqtui.tui.command import Command

IN_RESULTS, IN_JOBS = "In the results", "In the jobs"

RESULTS_COMMANDS: tuple[Command, ...] = (
    Command(
        "results.sort_before",
        "left,h",
        "sort(-1)",
        "Sort by the one before",
        "Sort by the column before.",
        IN_RESULTS,
    ),
    Command(
        "results.sort_after",
        "right,l",
        "sort(1)",
        "Sort by the next",
        "Sort by the column after.",
        IN_RESULTS,
    ),
    Command("results.reverse", "space", "reverse", "Reverse", "Reverse the order.", IN_RESULTS),
    Command(
        "results.refer",
        "v",
        "refer",
        "Compare with it",
        "Compare the others with this recipe, or no longer.",
        IN_RESULTS,
    ),
)

JOBS_COMMANDS: tuple[Command, ...] = (
    Command("jobs.cancel", "x", "cancel", "Cancel it", "Cancel the job under the cursor.", IN_JOBS),
    Command("jobs.log", "l", "choose", "Job log", "Show the job's log; enter does so too.", IN_JOBS),
)

PANE_COMMANDS: Mapping[str, tuple[Command, ...]] = {"results": RESULTS_COMMANDS, "jobs": JOBS_COMMANDS}
"""By the name of the pane."""
