"""The Hugging Face Hub: fetching files from it. Runs in the child process only, because it can block."""
