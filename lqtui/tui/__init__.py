"""The terminal app: Textual screens and widgets over a workbench."""

import os

# Textual paints at beats of so many a second, and what follows from a key in its first beat waits for the
# second. Read when Textual is loaded; nothing is painted, and no beat kept, while nothing changes.
os.environ.setdefault("TEXTUAL_FPS", "240")
