"""The panes of the main screen, and what they share."""
