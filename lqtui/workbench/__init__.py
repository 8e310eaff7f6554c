"""One open model: its recipe and history, the jobs, the results. The app and the command line drive it."""

from lqtui.workbench.budgets import FrontierPoint, Solved, Target
from lqtui.workbench.importance import DEFAULT_CANDIDATES, PROBE
from lqtui.workbench.lowering import Curve, CurvePoint
from lqtui.workbench.scores import ImportanceView, Score
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
    "DEFAULT_CANDIDATES",
    "PROBE",
    "AlreadyQuantizedError",
    "Change",
    "Curve",
    "CurvePoint",
    "Fit",
    "FrontierPoint",
    "ImportanceView",
    "Job",
    "JobState",
    "OpenModel",
    "Result",
    "Score",
    "Settings",
    "Solved",
    "Speed",
    "Target",
    "Workbench",
    "WorkbenchError",
]
