import pytest

from core.domain.base_model import TextFormat


@pytest.mark.parametrize(
    ("text_format", "words"),
    [
        (
            TextFormat(separator="\n", measured=True),
            "'\\n' between prompt and completion, end of sequence behind (measured on the retain set)",
        ),
        (
            TextFormat(join="chat_template", ends_with_eos=False),
            "chat template, nothing behind (assumed: register retain pairs to have it measured)",
        ),
    ],
)
def test_format_is_told_in_words(text_format, words):
    assert text_format.in_words == words
