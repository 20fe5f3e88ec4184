"""Options that several commands share."""

from typing import Annotated

import typer

Url = Annotated[str | None, typer.Option(help="Where the API answers. [LETHE_API_URL]")]
Key = Annotated[str | None, typer.Option(help="API key. [LETHE_API_KEY]")]
