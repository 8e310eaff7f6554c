"""Every command of the app with its keys, and the keys that a person gave it instead."""
