import pytest

from api.errors import NotAcceptableError
from api.negotiation import negotiate

OFFERED = ("application/json", "text/html")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, application/json", "application/json"),  # equals: ours first
        ("text/*", "text/html"),
        ("TEXT/HTML", "text/html"),
        ("text/html; q=0.2, */*; q=0.1", "text/html"),
        ("text/html;q=0, */*", "application/json"),
        ("application/json;q=0, */*;q=0.1", "text/html"),
        ("text/*;q=0.9, text/html;q=0.1, application/json;q=0.5", "application/json"),
        ("text/html;charset=utf-8;q=1.0, application/json;q=0.9", "text/html"),
        ("application/json;q=nan, text/html;q=0.001", "text/html"),
        ("application/json;q=, text/html", "text/html"),
        (",, text/html ,", "text/html"),
    ],
)
def test_negotiate_chooses_what_the_client_likes_best(accept, chosen):
    assert negotiate(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    "accept", ["image/png", "*/*;q=0", "text/html;q=0", "application/json;q=abc", "nonsense", "image/*"]
)
def test_negotiate_refuses_when_nothing_is_accepted(accept):
    with pytest.raises(NotAcceptableError, match="application/json or text/html"):
        negotiate(accept, OFFERED)
