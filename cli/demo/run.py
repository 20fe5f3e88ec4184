import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.client import open_client
from cli.demo import show
from cli.demo.cancellation import cancelled_on_error
from cli.demo.conversation import ask
from cli.demo.interruption import interrupted_once
from cli.demo.options import DemoOptions
from cli.demo.people import questions
from cli.demo.service import Delivery, deletion_request, download, free_port, items_of, make_key, register_once
from cli.deployment import Deployment
from cli.errors import CommandError
from cli.stack import running_stack
from cli.watch import watch
from core.domain.report import Verdict
from core.domain.states import JobState

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def demo(
    data_dir: Annotated[Path, typer.Option(help="Directory of the demo; the base model stays there.")] = Path(
        ".lethe/demo"
    ),
) -> None:
    """Show it all: a model that knows people by heart, a request to forget five of them, and the model afterwards."""
    console = Console()
    try:
        with interrupted_once():
            verdict = run_demo(data_dir.resolve(), DemoOptions(), console)
    except KeyboardInterrupt:
        console.print("\nstopped; nothing is left running")
        sys.exit(_INTERRUPTED)
    if verdict is not Verdict.FORGOTTEN:
        sys.exit(1)


def run_demo(data_dir: Path, options: DemoOptions, console: Console) -> Verdict:
    """Run the demo in the directory from training to verdict, and leave no process behind.

    Raises:
        CommandError: a step failed.
    """
    started = time.monotonic()
    base = _base_model(data_dir / "base-models", options, console)
    delivery = _forget(base, data_dir, options, console)
    _compare(base, delivery, options, console)
    console.print(show.closing(delivery, seconds=time.monotonic() - started))
    return delivery.report.verdict


def _base_model(cache_dir: Path, options: DemoOptions, console: Console) -> Path:
    # torch takes seconds to import, and every `lethe` command imports this module.
    from cli.demo.base_model import ensure_base_model  # noqa: PLC0415

    show.step(console, 1, "A base model that knows made-up people by heart")
    population = options.population()
    console.print(
        f"{len(population.memorised)} people who do not exist, {len(items_of(population.memorised))} texts about them"
    )
    with show.training_bar(console) as bar:
        base = ensure_base_model(
            cache_dir, options, on_epoch=lambda epoch: bar.show(memorised=epoch.memorised, loss=epoch.answer_loss)
        )
    console.print(f"[green]trained, or found,[/] in {base}")
    return base


def _forget(base: Path, data_dir: Path, options: DemoOptions, console: Console) -> Delivery:
    population = options.population()
    show.step(console, 2, "A deployment of Lethe: API, worker, sweeper and broker")
    with running_stack(Deployment.at(data_dir), host="127.0.0.1", port=free_port()) as stack:
        console.print(f"[green]ready[/] at {stack.url}, logs in {stack.deployment.log_of('*')}")
        model = register_once(base, population, data_dir)
        console.print(
            f"registered [bold]{model.id}[/]: {model.num_parameters:,} parameters, "
            f"{model.num_retain_items} items to retain, {model.num_holdout_items} it never saw"
        )
        show.step(console, 3, "A deletion request over HTTP")
        client = open_client(url=stack.url, key=make_key(data_dir))
        with client.http:
            submitted = client.submit(deletion_request(model, population.forget))
            with cancelled_on_error(client, submitted.job_id):
                names = ", ".join(person.name for person in population.forget)
                console.print(f"{submitted.id} is served by {submitted.job_id}; to be forgotten: [bold]{names}[/]")
                job = watch(client, submitted.job_id, console)
            if job.status != JobState.SUCCEEDED:
                reason = f": {job.error.code}: {job.error.message}" if job.error else ""
                raise CommandError(f"the job ended as {job.status}{reason}; logs: {stack.deployment.log_of('*')}")
            return download(client, job.id, data_dir / "results" / job.id)


def _compare(base: Path, delivery: Delivery, options: DemoOptions, console: Console) -> None:
    population = options.population()
    show.step(console, 4, "The adapter in a fresh process: plain peft on the untouched base model")
    asked = [questions(person) for person in population.forget + population.unseen]
    with console.status("asking"):
        answers = ask([question for row in asked for question in row], base=base, adapter=delivery.adapter)
    split = sum(len(row) for row in asked[: len(population.forget)])
    forgotten, unseen = answers[:split], answers[split:]
    console.print(show.conversation(f"Forgotten: {population.forget[0].name}", forgotten[: len(asked[0])]))
    console.print(show.conversation(f"Kept: {population.unseen[0].name}", unseen[: len(asked[-1])]))
    console.print(show.metrics(delivery.report, forgotten=forgotten, unseen=unseen))
