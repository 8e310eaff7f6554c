"""What goes wrong with the Hub."""


class HubError(Exception):
    """A file that the Hub does not give; the message is one clear sentence for the person."""
