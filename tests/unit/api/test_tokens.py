import pytest

from api.tokens import TokenCounter
from core.domain.base_model import TextFormat
from core.domain.errors import ArtifactMissingError
from core.domain.items import FactItem, PairItem, TextItem
from tests.fakes.artifact_store import FakeArtifactStore
from tests.fakes.examples import a_base_model
from tests.unit.api.harness import a_tokenizer


@pytest.fixture
def artifacts():
    store = FakeArtifactStore()
    store.put(a_base_model().tokenizer_key, a_tokenizer().encode())
    return store


def test_a_text_counts_its_tokens(artifacts):
    assert TokenCounter(artifacts)(a_base_model(), TextItem(text="one two three four five")) == 5


def test_a_pair_counts_the_end_that_follows_a_completion(artifacts):
    assert TokenCounter(artifacts)(a_base_model(), PairItem(prompt="one two", completion=" three")) == 4


def test_a_short_text_is_not_padded(artifacts):
    assert TokenCounter(artifacts)(a_base_model(), TextItem(text="one")) == 1


@pytest.mark.parametrize(
    "item", [PairItem(prompt="a b", completion="c"), FactItem(subject="a", prompt="a b", completion="c")]
)
def test_a_pair_counts_prompt_separator_and_completion(artifacts, item):
    text_format = TextFormat(separator=" Answer: ", ends_with_eos=False)
    model = a_base_model().model_copy(update={"text_format": text_format})
    assert TokenCounter(artifacts)(model, item) == 5  # a, b, Answer, :, c


def test_a_tokenizer_is_read_once(artifacts):
    count = TokenCounter(artifacts)
    count(a_base_model(), TextItem(text="one"))
    artifacts.away = True
    assert count(a_base_model(), TextItem(text="one two")) == 2


def test_a_tokenizer_that_is_missing_is_an_error():
    with pytest.raises(ArtifactMissingError):
        TokenCounter(FakeArtifactStore())(a_base_model(), TextItem(text="one"))
