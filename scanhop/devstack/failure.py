"""The one exception of the embedded stack."""


class StackFailed(Exception):
    """The stack cannot be made ready; the message, meant for a person, says why and what to do."""
