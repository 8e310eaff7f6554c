"""The process boundary: llama.cpp runs in a child process, one per job, and can never take the app down."""
