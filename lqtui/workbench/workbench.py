"""The workbench: one model, the recipe under the person's hands, background jobs, and what they found."""

from __future__ import annotations

from lqtui.workbench.chatting import Chatting
from lqtui.workbench.converting import Converting
from lqtui.workbench.downloads import Downloads
from lqtui.workbench.experiment import LoweringExperiment
from lqtui.workbench.imatrices import Imatrices
from lqtui.workbench.inspecting import Inspecting
from lqtui.workbench.interchange import Interchange
from lqtui.workbench.remembering import Remembering
from lqtui.workbench.reporting import Reporting
from lqtui.workbench.solving import Solving
from lqtui.workbench.type_table import TypeTable
from lqtui.workbench.writing import Writing


class Workbench(
    Downloads,
    Converting,
    Solving,
    Imatrices,
    LoweringExperiment,
    Chatting,
    Interchange,
    Writing,
    Reporting,
    TypeTable,
    Inspecting,
    Remembering,
):
    """Drives everything on one model; must be used inside one event loop.

    Methods raise WorkbenchError with a sentence for the person; nothing has changed then.
    """
