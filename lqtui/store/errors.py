"""The errors that the store raises."""


class StoreError(Exception):
    """A file, folder or database could not be used; the message is a sentence for the person who asked."""


class InUseError(StoreError):
    """Another running lqtui holds what was asked for."""
