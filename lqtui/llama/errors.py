"""What the engine refuses or cannot do, in sentences."""


class EngineError(Exception):
    """A job that cannot be done; the message is one clear sentence for the person at the keyboard."""


class LoadFailed(EngineError):
    """A model or a context that llama.cpp could not make; with fewer layers on a GPU it may."""
