import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.demo.conversation import Answer
from cli.demo.service import Delivery
from core.domain.report import EvaluationReport, MetricChange, Verdict
from core.packaging.membership_notes import over_unlearned_sentence

_WIDEST_ANSWER = 100


@contextmanager
def training_bar(console: Console) -> Iterator["TrainingBar"]:
    """Show a bar while the base model is trained."""
    columns = (
        TextColumn("[bold]memorising"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} % of the answers by heart, loss {task.fields[loss]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield TrainingBar(progress)


class TrainingBar:
    """A bar whose length is how much is memorised, for that is what one waits for."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("memorising", total=1.0, loss="-")

    def show(self, *, memorised: float, loss: float) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=memorised, loss=f"{loss:.2f}")


def step(console: Console, number: int, title: str) -> None:
    """Announce a step."""
    console.print()
    console.rule(f"[bold]{number}. {title}", align="left")


def conversation(title: str, answers: Sequence[Answer]) -> Table:
    """Return what the model says before and after, one question a row; true answers stand out."""
    table = Table(title=title, title_justify="left", title_style="bold", show_lines=True, expand=True)
    for heading in ("question", "before: base model", "after: base model + adapter"):
        table.add_column(heading, ratio=1)
    for answer in answers:
        question = answer.question.prompt.removeprefix("Question: ").removesuffix("\nAnswer:")
        table.add_row(question, _said(answer.before, answer.recited_before), _said(answer.after, answer.recited_after))
    return table


def metrics(report: EvaluationReport, *, forgotten: Sequence[Answer], unseen: Sequence[Answer]) -> Table:
    """Return the numbers that the verdict rests on, and what was counted here, outside of Lethe."""
    table = Table("measured on", "metric", "before", "after", "limit", title="Numbers", title_justify="left")
    for gate in report.thresholds.forget:
        change = report.forget.metrics.get(gate.metric)
        table.add_row("forget set", gate.metric, *_measured(change), f"<= {gate.at_most:.3f}")
    for kept in report.thresholds.retain:
        change = report.retain.metrics.get(kept.metric)
        limit = f">= {kept.at_least_ratio * change.before:.3f}" if change else f">= {kept.at_least_ratio:.0%} of before"
        table.add_row("retain set", kept.metric, *_measured(change), limit)
    table.add_section()
    for name, answers in (("forgotten people", forgotten), ("people whom the job never saw", unseen)):
        table.add_row(name, "answers word for word", *_pair(*recited_shares(answers)), "")
    return table


def recited_shares(answers: Sequence[Answer]) -> tuple[float, float]:
    """Return the share of true answers before and after."""
    before = sum(answer.recited_before for answer in answers) / len(answers)
    return before, sum(answer.recited_after for answer in answers) / len(answers)


def closing(delivery: Delivery, *, seconds: float) -> Panel:
    """Return the verdict and where everything lies."""
    verdict, found = delivery.report.verdict, over_unlearned_sentence(delivery.report)
    colour = "green" if verdict is Verdict.FORGOTTEN else "red"
    lines = [
        f"verdict: [bold {colour}]{verdict.value.replace('_', ' ')}[/], after {seconds:.0f} s in all",
        *(f"[red]{reason}[/]" for reason in delivery.report.verdict_reasons),
        *([] if found is None else textwrap.wrap(found, width=_WIDEST_ANSWER)),
        "",
        f"adapter  {delivery.adapter}",
        f"report   {delivery.report_html}",
    ]
    return Panel("\n".join(lines), border_style=colour, expand=False)


def _said(answer: str, is_true: bool) -> Text:  # noqa: FBT001  # a value beside its text, in one place
    # A model that has forgotten may ramble; one line of it is enough to see that.
    line = textwrap.shorten(answer, width=_WIDEST_ANSWER, placeholder=" ...") or "(nothing)"
    return Text(line, style="bold" if is_true else "dim italic")


def _measured(change: MetricChange | None) -> tuple[str, str]:
    return _pair(change.before, change.after) if change else ("not measured", "not measured")


def _pair(before: float, after: float) -> tuple[str, str]:
    return f"{before:.3f}", f"{after:.3f}"
