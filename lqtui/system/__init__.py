"""What the machine has: memory, processors, GPUs and free disk space."""
