"""Where a running `scanhop up` is reached: written into its data directory, read by the other commands.

The file has the form of `.env`; what is set in the environment wins over it. It goes when `up` ends, and a stale one
of a killed run leads to a store that does not answer, which the commands tell.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values

from scanhop.settings import PREFIX, Settings

FILE_NAME = "running.env"


@contextmanager
def running_stack(data_dir: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Tells the other commands of this `up`, for as long as it runs."""
    path = data_dir / FILE_NAME
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}='{value}'\n" for name, value in variables.items()))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def with_running_stack(settings: Settings, data_dir: Path | None) -> Settings:
    """`settings`, and where they say nothing, what the `up` running on the data directory says."""
    directory = data_dir or settings.data_dir
    path = directory / FILE_NAME
    found = dotenv_values(path) if path.is_file() else {}
    told = {name.removeprefix(PREFIX).lower(): value for name, value in found.items() if value}
    said = settings.model_dump(exclude_unset=True)
    return Settings.model_validate(told | said | {"data_dir": directory})
