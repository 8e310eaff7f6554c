"""The child process, run as `python -m lqtui.worker.child`: does one task with llama.cpp, and ends."""
