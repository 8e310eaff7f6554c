"""One open model: its recipe and history, the jobs, the results. The app and the command line drive it."""

from lqtui.workbench.values import (
    AlreadyQuantizedError,
    Change,
    Fit,
    Job,
    JobState,
    OpenModel,
    Result,
    Settings,
    Speed,
    WorkbenchError,
)
from lqtui.workbench.workbench import Workbench

__all__ = [
    "AlreadyQuantizedError",
    "Change",
    "Fit",
    "Job",
    "JobState",
    "OpenModel",
    "Result",
    "Settings",
    "Speed",
    "Workbench",
    "WorkbenchError",
]
