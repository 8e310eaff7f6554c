"""The terminal app: Textual screens and widgets over a workbench."""
