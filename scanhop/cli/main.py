"""The subcommands, and how their failures are told: one clear message on stderr, an exit code, no traceback."""

import asyncio
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from scanhop.cli.failure import CommandFailed
from scanhop.settings import Bind, InvalidSettings, Settings, load_settings, require
from scanhop.supervisor import ChildFailed

app = typer.Typer(
    help="Scanhop: a self-hosted QR platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
geoip = typer.Typer(help="The database of where addresses are.", no_args_is_help=True)
app.add_typer(geoip, name="geoip")
importing = typer.Typer(help="Bring data of other systems in.", no_args_is_help=True)
app.add_typer(importing, name="import")
dead_letter = typer.Typer(help="What ingest could not make rows of.", no_args_is_help=True)
app.add_typer(dead_letter, name="dead-letter")
DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept. Default: SCANHOP_DATA_DIR, .scanhop")]
FirstDay = Annotated[str | None, typer.Option("--from", metavar="DAY", help="The first UTC day. Default: a week ago")]
EndDay = Annotated[str | None, typer.Option("--to", metavar="DAY", help="The UTC day before which it ends")]
Descriptor = Annotated[int | None, typer.Option(hidden=True)]


def main() -> None:
    try:
        app()
    except InvalidSettings as error:
        _fail(f"bad settings\n  {str(error).replace(chr(10), chr(10) + '  ')}", 2)
    except CommandFailed as error:
        _fail(str(error), error.code)
    except ChildFailed as error:
        _fail(str(error), 1)


@app.command()
def up(
    data_dir: DataDir = None,
    edge_port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: any free one")] = None,
    api_port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: any free one")] = None,
    edge_workers: Annotated[int | None, typer.Option(min=1, max=256)] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Seed a demo workspace and print commands to try")] = False,
) -> None:
    """Run everything: the embedded engines (where none are set) and every process, until Ctrl-C."""
    from scanhop.cli.up import UpOptions, run_up  # noqa: PLC0415

    run_up(load_settings(), UpOptions(data_dir, edge_port, api_port, edge_workers, demo))


@app.command()
def edge(
    worker: Descriptor = None,
    listen_fd: Descriptor = None,
    metrics_fd: Descriptor = None,
    sibling_fds: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Answer scans. Supervises SCANHOP_EDGE_WORKERS workers on one listening socket."""
    from edge.process import run_edge  # noqa: PLC0415

    settings = load_settings()
    require(settings, "redis_url")
    require(settings, "postgres_dsn")
    if worker is not None and listen_fd is not None:
        _run_edge_worker(settings, worker, listen_fd, metrics_fd, sibling_fds)
        return
    prepare_spool(settings.spool_root)
    listen = _inherited(listen_fd) or listen_on(settings.edge_bind, "edge")
    run_edge(settings, listen, _inherited(metrics_fd) or listen_for_metrics(settings))


@app.command()
def ingest() -> None:
    """Turn the spool's scans into rows in ClickHouse."""
    from ingest.process import MetricsNotServed, run_ingest  # noqa: PLC0415

    settings = load_settings()
    prepare_spool(settings.spool_root)
    try:
        run_ingest(settings)
    except MetricsNotServed as error:
        raise CommandFailed(str(error)) from error


@app.command()
def api(listen_fd: Descriptor = None) -> None:
    """Serve the control API."""
    from control_api.process import run_api  # noqa: PLC0415

    settings = load_settings()
    listen = _inherited(listen_fd) or listen_on(settings.api_bind, "api")
    run_api(settings, listen)


@app.command()
def worker() -> None:
    """Run the jobs of the queue, and those that come by the clock."""
    from control_api.worker import run_worker  # noqa: PLC0415

    run_worker(load_settings())


@app.command()
def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done")] = False,
    data_dir: DataDir = None,
) -> None:
    """Bring Postgres and ClickHouse to this version's schema."""
    from scanhop.cli.running_stack import with_running_stack  # noqa: PLC0415
    from scanhop.stores.errors import StoreError  # noqa: PLC0415
    from scanhop.stores.migrations import migrate as run  # noqa: PLC0415

    settings = with_running_stack(load_settings(), data_dir)
    dsn, url = require(settings, "postgres_dsn"), require(settings, "clickhouse_url")
    try:
        steps = asyncio.run(run(dsn, url, dry_run=dry_run))
    except StoreError as error:
        raise CommandFailed(str(error)) from error
    verb = "would run" if dry_run else "ran"
    typer.echo("\n".join(f"{verb} {step.store} {step.name}" for step in steps) or "nothing to do")


@app.command()
def seed(data_dir: DataDir = None) -> None:
    """Seed a demo workspace with a few codes through the API, and print commands to try."""
    from scanhop.cli.demo import DemoFailed, seed_demo  # noqa: PLC0415
    from scanhop.cli.running_stack import with_running_stack  # noqa: PLC0415

    settings = with_running_stack(load_settings(), data_dir)
    try:
        typer.echo(seed_demo(f"http://{settings.api_bind}", require(settings, "admin_key"), settings.data_dir))
    except DemoFailed as error:
        raise CommandFailed(str(error)) from error


@geoip.command()
def fetch() -> None:
    """Bring the database at SCANHOP_GEOIP_URL (.mmdb, .mmdb.gz or .tar.gz) to SCANHOP_GEOIP_PATH."""
    from scanhop.cli.geoip import FetchFailed, fetch_geoip  # noqa: PLC0415

    settings = load_settings()
    url, path = require(settings, "geoip_url"), Path(require(settings, "geoip_path"))
    try:
        typer.echo(fetch_geoip(url, path))
    except FetchFailed as error:
        raise CommandFailed(str(error)) from error


@dead_letter.command("list")
def list_dead_letters(
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array instead of a table")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show what there is: parked inserts, rejected records, damaged bytes."""
    from scanhop.cli.dead_letter import show_dead_letters  # noqa: PLC0415
    from scanhop.cli.running_stack import with_running_stack  # noqa: PLC0415

    show_dead_letters(with_running_stack(load_settings(), data_dir).spool_root, as_json=as_json)


@dead_letter.command("replay")
def replay_dead_letters(
    letter: Annotated[str | None, typer.Argument(metavar="ID", help="As `list` shows it")] = None,
    every: Annotated[bool, typer.Option("--all", help="Whatever can be replayed")] = False,
    data_dir: DataDir = None,
) -> None:
    """Hand a parked insert or rejected records back to ingest, which runs or will run.

    A parked insert is sent again as it is. Of rejected records those that this version can make rows of become rows;
    the others are rejected again. Each counts once, however often this is called or interrupted. Damaged bytes are
    no records and cannot be replayed.
    """
    from scanhop.cli.dead_letter import replay  # noqa: PLC0415
    from scanhop.cli.running_stack import with_running_stack  # noqa: PLC0415

    if (letter is None) is not every:
        raise typer.BadParameter("give an ID or --all")
    replay(with_running_stack(load_settings(), data_dir).spool_root, letter)


@app.command()
def doctor(
    ledger: Annotated[bool, typer.Option("--ledger", help="Also replay the ledger of every wallet")] = False,
    data_dir: DataDir = None,
) -> None:
    """Check settings, engines, schema, GeoIP file and disk. Ends with code 1 when something is wrong."""
    from scanhop.cli.doctor import examine, print_findings  # noqa: PLC0415
    from scanhop.cli.running_stack import with_running_stack  # noqa: PLC0415

    findings = asyncio.run(examine(with_running_stack(load_settings(), data_dir), ledger=ledger))
    print_findings(findings)
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(1)


@app.command()
def reconcile(
    first: FirstDay = None,
    end: EndDay = None,
    grace: Annotated[int, typer.Option(min=0, help="Seconds for which a batch is in flight")] = 600,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    data_dir: DataDir = None,
) -> None:
    """Compare accepted batches, raw scans and rollups. Code 0: all agrees, 1: it does not, 3: no ClickHouse."""
    from scanhop.cli import rollups  # noqa: PLC0415
    from scanhop.cli.running_stack import with_running_stack  # noqa: PLC0415

    url = require(with_running_stack(load_settings(), data_dir), "clickhouse_url")
    days = rollups.parse_days(first, end)
    report = asyncio.run(rollups.reconcile(url, days, timedelta(seconds=grace)))
    if as_json:
        typer.echo(rollups.report_json(report))
    else:
        rollups.print_report(report)
    if not report.agrees:
        raise typer.Exit(1)


@app.command("rebuild-rollups")
def rebuild_rollups(first: FirstDay = None, end: EndDay = None, data_dir: DataDir = None) -> None:
    """Make the rollups say what raw scans say. Code 0: they do, 1: not all yet, 2: refused, 3: a store is away."""
    from scanhop.cli import rollups  # noqa: PLC0415
    from scanhop.cli.running_stack import with_running_stack  # noqa: PLC0415

    settings = with_running_stack(load_settings(), data_dir)
    dsn, url = require(settings, "postgres_dsn"), require(settings, "clickhouse_url")
    result = asyncio.run(rollups.rebuild(dsn, url, rollups.parse_days(first, end)))
    typer.echo(f"{result.mended} code(s) mended")
    if result.unsettled:
        raise CommandFailed(f"{result.unsettled} code(s) had scans under way at every look; run it again later")


@importing.command("scans")
def import_scans(  # noqa: PLR0913 - one for each thing that files differ in
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV or TSV, may be gzip")],
    mapping: Annotated[list[str] | None, typer.Option("--map", metavar="OURS=THEIRS")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of times that name no zone. Default: UTC")] = None,
    time_format: Annotated[str | None, typer.Option(help="epoch, epoch-ms or a strptime format")] = None,
    encoding: Annotated[str | None, typer.Option(help="Default: found out")] = None,
    delimiter: Annotated[str | None, typer.Option(help="One character, or tab. Default: found out")] = None,
    source: Annotated[
        str, typer.Option(help="The system that counted: the same row of another is another scan")
    ] = "csv",
    workspace: Annotated[str | None, typer.Option(help="Take codes of this workspace only")] = None,
    domain: Annotated[str | None, typer.Option(help="The custom domain of the codes")] = None,
    code: Annotated[list[str] | None, typer.Option("--code", metavar="THEIRS=OURS", help="A short code")] = None,
    rejected: Annotated[Path | None, typer.Option(help="Default: FILE.rejected.csv")] = None,
    data_dir: DataDir = None,
) -> None:
    """Import the scans of FILE, each once. Code 0: done, 1: it broke off, 2: bad file, 3: a store is away."""
    from ingest.csv_import.plan import Reading  # noqa: PLC0415
    from ingest.csv_import.process import WhoseCodes  # noqa: PLC0415
    from scanhop.cli import import_scans as cli  # noqa: PLC0415
    from scanhop.cli.running_stack import with_running_stack  # noqa: PLC0415

    settings = with_running_stack(load_settings(), data_dir)
    reading = Reading(
        path=file,
        source=source,
        mapping=cli.parse_pairs("--map", mapping or []),
        zone=cli.parse_zone(timezone),
        time_format=time_format,
        encoding=encoding,
        delimiter=cli.parse_delimiter(delimiter),
        rejected_path=rejected,
    )
    whose = WhoseCodes(cli.parse_workspace(workspace), domain, cli.parse_pairs("--code", code or []))
    cli.print_summary(asyncio.run(cli.run_import(settings, reading, whose)), reading.rejected)


def listen_on(bind: Bind, what: str) -> socket.socket:
    """Raises CommandFailed when the address cannot be had."""
    from scanhop.serving import open_listener  # noqa: PLC0415

    try:
        return open_listener(bind)
    except OSError as error:
        raise CommandFailed(f"the {what} cannot listen on {bind}: {error.strerror or error}") from error


def listen_for_metrics(settings: Settings) -> socket.socket | None:
    """None where the public address answers. Raises CommandFailed when the address cannot be had."""
    return None if settings.metrics_bind is None else listen_on(settings.metrics_bind, "metrics page")


def prepare_spool(root: Path) -> None:
    """Raises CommandFailed when it cannot be written."""
    from scanhop.spool import prepare_root  # noqa: PLC0415

    try:
        prepare_root(root)
    except OSError as error:
        raise CommandFailed(f"the spool {root} cannot be written: {error.strerror}") from error


def _run_edge_worker(
    settings: Settings, worker: int, listen_fd: int, metrics_fd: int | None, sibling_fds: str
) -> None:
    from edge.worker import Inherited, run_worker  # noqa: PLC0415

    siblings = [socket.socket(fileno=int(number)) for number in sibling_fds.split(",") if number]
    run_worker(settings, worker, Inherited(socket.socket(fileno=listen_fd), _inherited(metrics_fd), siblings))


def _inherited(descriptor: int | None) -> socket.socket | None:
    return None if descriptor is None else socket.socket(fileno=descriptor)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"scanhop: {message}\n")
    sys.exit(code)
