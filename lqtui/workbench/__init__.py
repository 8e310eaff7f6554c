"""One open model: its recipe and history, the jobs, the results. The app and the command line drive it."""

from lqtui.workbench.budgets import FrontierPoint, Solved, Target, Why
from lqtui.workbench.depth import DepthScores, depth_scores
from lqtui.workbench.importance import DEFAULT_CANDIDATES, PROBE
from lqtui.workbench.lowering import KEPT, Curve, CurvePoint, Lowered
from lqtui.workbench.scores import ImportanceView, Score
from lqtui.workbench.slots import Slot
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
    WorkFailedError,
)
from lqtui.workbench.workbench import Workbench

__all__ = [
    "DEFAULT_CANDIDATES",
    "KEPT",
    "PROBE",
    "AlreadyQuantizedError",
    "Change",
    "Curve",
    "CurvePoint",
    "DepthScores",
    "Fit",
    "FrontierPoint",
    "ImportanceView",
    "Job",
    "JobState",
    "Lowered",
    "OpenModel",
    "Result",
    "Score",
    "Settings",
    "Slot",
    "Solved",
    "Speed",
    "Target",
    "Why",
    "WorkFailedError",
    "Workbench",
    "WorkbenchError",
    "depth_scores",
]
