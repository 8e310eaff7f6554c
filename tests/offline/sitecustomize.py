"""What Python loads as each process begins that has this folder in PYTHONPATH."""

import refused_sockets  # noqa: F401
