"""What goes wrong with the Hub."""


class HubError(Exception):
    """A file or a list that the Hub does not give; the message is one clear sentence for the person."""


class NotOnHubError(HubError):
    """What was asked for is not there, or not for this account: asking again will not help."""
