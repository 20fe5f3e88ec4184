import pytest
from pydantic import TypeAdapter, ValidationError

from core.domain.catalog import DEFAULT_METHOD, METHOD_OPTIONS, MethodOptions

OPTIONS = TypeAdapter(MethodOptions)


def test_the_default_method_is_in_the_catalog():
    assert DEFAULT_METHOD in METHOD_OPTIONS


@pytest.mark.parametrize("name", METHOD_OPTIONS)
def test_options_survive_json(name: str):
    options = METHOD_OPTIONS[name]()

    assert options.name == name
    assert OPTIONS.validate_json(OPTIONS.dump_json(options)) == options


@pytest.mark.parametrize(
    "body",
    [
        '{"name":"loku","fisher_epsilon":1e999}',
        '{"name":"loku","max_grad_norm":1e999}',
        '{"name":"loku","beta":1}',
        '{"name":"no"}',
    ],
)
def test_options_that_could_not_be_stored_or_are_unknown_are_refused(body: str):
    with pytest.raises(ValidationError):
        OPTIONS.validate_json(body)
