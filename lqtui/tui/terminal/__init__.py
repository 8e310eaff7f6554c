"""What the terminal is sent in the end, and what ends the app from it."""
