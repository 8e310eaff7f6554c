"""Everything that touches llama.cpp. It runs in the child process only: native code can abort."""
