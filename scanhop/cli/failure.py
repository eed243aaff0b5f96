"""How a command fails that has found out why."""


class CommandFailed(Exception):
    """What the user is told; the command ends with `code`."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
