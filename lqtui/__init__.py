"""lqtui: choose the quantization of every layer of a GGUF model from the keyboard."""

__version__ = "0.1.0"
