"""The commands of the panes beside the layers: what keys do while one of them has the focus."""

from __future__ import annotations

from collections.abc import Mapping

from lqtui.tui.keys.command import Command

IN_CHART, IN_RESULTS, IN_JOBS = "In the chart", "In the results", "In the jobs"

CHART_COMMANDS: tuple[Command, ...] = (
    Command(
        "chart.closer", "plus", "come_closer(1)", "Zoom in", "Come closer to the point at hand.", IN_CHART
    ),
    Command("chart.farther", "minus", "come_closer(-1)", "Zoom out", "See more around it.", IN_CHART),
    Command("chart.whole", "0", "whole", "Whole chart", "Show all of the chart again.", IN_CHART),
)
"""Arrows walk its points, enter puts a point's recipe in the grid."""

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
    Command("results.all", "escape", "clear", "Show all", "Give up the filter.", IN_RESULTS),
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
    Command(
        "jobs.pause",
        "space",
        "pause",
        "Pause, or go on",
        "Let the job give its turn to the next, or go on where it was.",
        IN_JOBS,
    ),
    Command(
        "jobs.earlier", "K,shift+up", "shift(-1)", "Move it up", "Let it have its turn earlier.", IN_JOBS
    ),
    Command("jobs.later", "J,shift+down", "shift(1)", "Move it down", "Let it have its turn later.", IN_JOBS),
    Command(
        "jobs.retry",
        "R",
        "retry",
        "Do it again",
        "Do a job again that failed or was cancelled; what it measured is kept.",
        IN_JOBS,
    ),
    Command("jobs.cancel", "x", "cancel", "Cancel it", "Cancel the job under the cursor.", IN_JOBS),
    Command("jobs.log", "l", "choose", "Job log", "Show the job's log; enter does so too.", IN_JOBS),
)

PANE_COMMANDS: Mapping[str, tuple[Command, ...]] = {
    "chart": CHART_COMMANDS,
    "results": RESULTS_COMMANDS,
    "jobs": JOBS_COMMANDS,
}
"""By the name of the pane."""
