"""Two kinds of trouble with a store: worth another try, or not."""


class StoreError(Exception):
    """Something a store said or failed to say."""


class StoreUnavailable(StoreError):
    """Not reached, overloaded or restarting: the same call may succeed later."""


class StoreRejected(StoreError):
    """Understood and refused: the same call will be refused again. `code` is the store's own, where it has one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
