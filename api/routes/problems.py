from html import escape
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import HTMLResponse

from api.errors import ProblemKind, kinds_by_code
from api.responses import problems
from core.domain.errors import NotFoundError

router = APIRouter(tags=["operations"])


@router.get(
    "/problems",
    operation_id="listProblems",
    summary="Every kind of problem",
    response_class=HTMLResponse,
)
def list_problems() -> HTMLResponse:
    """Return a page with a link for each code that an error can have."""
    rows = "".join(
        f'<li><a href="/problems/{escape(code)}">{escape(code)}</a>: {kind.status} {escape(kind.title)}</li>'
        for code, kind in kinds_by_code().items()
    )
    return _page("Problems", f"<ul>{rows}</ul>")


@router.get(
    "/problems/{code}",
    operation_id="getProblem",
    summary="What a problem means",
    response_class=HTMLResponse,
    responses=problems(NotFoundError),
)
def get_problem(code: Annotated[str, Path(description="The `code` of an error.")]) -> HTMLResponse:
    """Return the page that the `type` of an error leads to."""
    kind = kinds_by_code().get(code)
    if kind is None:
        raise NotFoundError
    return _page(kind.title, _explanation(code, kind))


def _explanation(code: str, kind: ProblemKind) -> str:
    again = "may succeed later" if kind.retryable else "will fail again"
    return (
        f"<p>Status {kind.status}, code <code>{escape(code)}</code>.</p>"
        f"<p>{escape(kind.remedy)}</p><p>The same request {again}.</p>"
    )


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<h1>{escape(title)}</h1>{body}</html>"
    )
