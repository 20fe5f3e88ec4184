import inspect
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.arguments import Key, Url
from cli.client import open_client
from cli.composition import migrate as migrate_database
from cli.composition import open_backends, utc_now
from cli.demo.run import demo
from cli.deployment import Deployment, environment_at
from cli.errors import CommandError, OutcomeUnknownError
from cli.items import read_items
from cli.policies import policies
from cli.probe import probe
from cli.registration import Registration, register
from cli.serve import serve as serve_stack
from cli.submit import submit
from cli.watch import watch as watch_job
from core.domain.api_key import mint
from core.domain.catalog import DEFAULT_METHOD, METHOD_OPTIONS
from core.domain.errors import LetheError, NotFoundError
from core.domain.states import JobState

commands = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
keys = typer.Typer(no_args_is_help=True, help="API keys.")
models = typer.Typer(no_args_is_help=True, help="Base models that requests may name.")
commands.add_typer(keys, name="keys")
commands.add_typer(models, name="models")
commands.command()(demo)
commands.command()(policies)
commands.command()(probe)
commands.command()(submit)
console = Console()

DataDir = Annotated[
    Path | None, typer.Option(help="Directory of an embedded deployment; without it the LETHE_... environment counts.")
]


def app() -> None:
    """Run the command line. What a user can mend is one line, not a traceback."""
    # Inherited by every part. SQLite, the broker and the store make files of their own, and some of them hold texts.
    os.umask(0o077)
    try:
        commands()
    except (CommandError, LetheError) as refused:
        Console(stderr=True).print(f"[red]{type(refused).__name__}[/]: {refused}", highlight=False)
        sys.exit(refused.exit_code if isinstance(refused, CommandError) else CommandError.exit_code)
    except ValidationError as wrong:
        missing = ", ".join(f"LETHE_{error['loc'][0]}".upper() for error in wrong.errors() if error["loc"])
        Console(stderr=True).print(
            f"[red]settings are missing or wrong[/]: {missing or wrong.title}; or give --data-dir"
        )
        sys.exit(2)


@commands.command()
def serve(data_dir: Annotated[Path, typer.Option()], port: int = 8000, host: str = "127.0.0.1") -> None:
    """Run API, worker, sweeper and an embedded broker until Ctrl-C."""
    serve_stack(Deployment.at(data_dir), host=host, port=port, console=console)


@commands.command()
def worker(data_dir: DataDir = None) -> None:
    """Run one worker."""
    _become("worker.main", data_dir)


@commands.command()
def sweeper(data_dir: DataDir = None) -> None:
    """Run the process that repairs what crashes leave behind."""
    _become("worker.sweeper", data_dir)


@commands.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database to the newest schema."""
    migrate_database(data_dir)


@keys.command("create")
def create_key(tenant: Annotated[str, typer.Option()], data_dir: DataDir = None) -> None:
    """Make an API key and print it, once."""
    backends = open_backends(data_dir)
    try:
        key, token = mint(tenant, backends.secret_key, utc_now())
    except ValueError as refused:
        raise CommandError(f"--tenant: {refused}") from refused
    backends.api_keys.add(key)
    print(token)


@keys.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """Show the API keys, revoked ones too, but never what opens them."""
    table = Table()
    table.add_column("id", no_wrap=True)  # whole on any terminal: `lethe keys revoke` takes it
    for title in ("tenant", "created", "revoked"):
        table.add_column(title)
    repository = open_backends(data_dir).api_keys
    page = repository.list()
    while True:
        for key in page.data:
            table.add_row(key.id, key.tenant, _utc(key.created_at), _utc(key.revoked_at) if key.revoked_at else "")
        if not page.has_more:
            break
        page = repository.list(after=page.data[-1].id)
    console.print(table)


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(metavar="ID")], data_dir: DataDir = None) -> None:
    """Make an API key open nothing any more, from the next request on. There is no way back."""
    try:
        key = open_backends(data_dir).api_keys.revoke(key_id, at=utc_now())
    except NotFoundError:
        raise CommandError("no key has this id; `lethe keys list` shows them all") from None
    console.print(f"{key.id} of {key.tenant} is revoked", highlight=False)


@models.command("add")
def add_model(
    model_id: str,
    path: Annotated[str, typer.Option(help="Directory or hub id.")],
    revision: Annotated[str | None, typer.Option(help="Commit of a hub id.")] = None,
    retain: Annotated[Path | None, typer.Option(help="JSON lines of items to keep.")] = None,
    holdout: Annotated[Path | None, typer.Option(help="JSON lines of items that the model never saw.")] = None,
    general: Annotated[Path | None, typer.Option(help="JSON lines of texts about nothing in particular.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Directory or HUB_ID@COMMIT of a model trained without what will be forgotten.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Register a base model, after loading it once."""
    registration = Registration(
        model_id=model_id,
        source=path,
        revision=revision,
        retain=read_items(retain) if retain else (),
        holdout=read_items(holdout) if holdout else (),
        general=read_items(general) if general else (),
        reference=reference,
    )
    model = register(registration, open_backends(data_dir), now=utc_now())
    console.print(f"registered [bold]{model.id}[/]: {model.architecture}, {model.num_parameters:,} parameters")
    console.print(f"text format: {escape(model.text_format.in_words)}")


@models.command("list")
def list_models(data_dir: DataDir = None) -> None:
    """Show the registered base models."""
    table = Table()
    table.add_column("id", no_wrap=True)  # whole on any terminal: requests name it
    for title in ("architecture", "parameters", "layers", "context", "retain", "holdout", "reference", "source"):
        table.add_column(title)
    repository = open_backends(data_dir).base_models
    page = repository.list()
    while True:
        for model in page.data:
            sizes = (
                model.num_parameters,
                model.num_layers,
                model.max_tokens,
                model.num_retain_items,
                model.num_holdout_items,
            )
            shown = ("?" if size is None else f"{size:,}" for size in sizes)
            table.add_row(model.id, model.architecture, *shown, "yes" if model.reference else "no", model.source)
        if not page.has_more:
            break
        page = repository.list(after=page.data[-1].id)
    console.print(table)


@commands.command("methods")
def list_methods(
    name: Annotated[str | None, typer.Argument(help="One of them, for its options as JSON Schema.")] = None,
) -> None:
    """Show the unlearning methods that a request may name."""
    if name is not None:
        if name not in METHOD_OPTIONS:
            raise CommandError(f"no such method; known: {', '.join(METHOD_OPTIONS)}")
        console.print_json(data=METHOD_OPTIONS[name].model_json_schema())
        return
    table = Table("method", "what it is", "own defaults")
    for method, options in METHOD_OPTIONS.items():
        table.add_row(method, (inspect.getdoc(options) or "").partition("\n")[0], _own_defaults(method))
    console.print(table)


@commands.command()
def watch(job_id: str, url: Url = None, key: Key = None) -> None:
    """Follow a job until it ends.

    Exit code: 0, it succeeded, or no action was needed; 1, it failed or was cancelled; 3, how it ended is not known.
    The last is for no key, a refusal, or no answer for a minute; the job goes on meanwhile.
    """
    try:
        job = watch_job(open_client(url=url, key=key), job_id, console)
    except CommandError as lost:
        raise OutcomeUnknownError(str(lost)) from lost
    if job.status != JobState.SUCCEEDED:
        sys.exit(1)


@commands.command()
def verify(
    package: Annotated[Path, typer.Argument(help="The adapter zip of a job.")],
    base: Annotated[Path, typer.Option(help="Directory of the base model.")],
) -> None:
    """Check a package against its manifest and its base model, with plain PEFT; exit with 1 if anything differs."""
    # Importing torch takes seconds, which no other command should wait for.
    from core.packaging.check_package import check_package  # noqa: PLC0415

    checked = check_package(package, base)
    console.print(f"[bold]{checked.job_id}[/]: {checked.files} files as in the manifest, verdict {checked.verdict}")
    console.print(f"with the adapter, logits differ by {checked.difference_with_adapter:.1e} of the largest")
    console.print(f"without it, by {checked.difference_without_adapter:.1e}: the base model is untouched")


def _become(module: str, data_dir: Path | None) -> None:
    """Replace this process by a module's, so that signals reach it without a middleman."""
    environment = {**os.environ, **environment_at(data_dir)}
    os.execve(sys.executable, [sys.executable, "-m", module], environment)  # noqa: S606  # our own module


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _own_defaults(method: str) -> str:
    """Return the options in which a method differs from the default one, as a client would send them."""
    plain = METHOD_OPTIONS[DEFAULT_METHOD]().model_dump(mode="json")
    own = METHOD_OPTIONS[method]().model_dump(mode="json")
    different = {name: value for name, value in own.items() if name != "name" and plain.get(name) != value}
    return json.dumps(different)[1:-1]
