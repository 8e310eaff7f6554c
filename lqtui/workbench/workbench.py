"""The workbench: one model, the recipe under the person's hands, background jobs, and what they found."""

from __future__ import annotations

from lqtui.workbench.chatting import Chatting
from lqtui.workbench.inspecting import Inspecting
from lqtui.workbench.interchange import Interchange
from lqtui.workbench.remembering import Remembering
from lqtui.workbench.reporting import Reporting
from lqtui.workbench.resuming import Resuming
from lqtui.workbench.touring import Touring
from lqtui.workbench.type_table import TypeTable


class Workbench(
    Resuming,
    Chatting,
    Interchange,
    Reporting,
    TypeTable,
    Inspecting,
    Remembering,
    Touring,
):
    """Drives everything on one model; must be used inside one event loop.

    Methods raise WorkbenchError with a sentence for the person; nothing has changed then.
    """
