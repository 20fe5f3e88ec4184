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
        '{"name":"ofmu","retain_loss":"none"}',
        '{"name":"ofmu","sharpness_radius":0.01}',
        '{"name":"pdu","retain_loss":"none"}',
    ],
)
def test_options_that_could_not_be_stored_or_are_unknown_are_refused(body: str):
    with pytest.raises(ValidationError):
        OPTIONS.validate_json(body)


def test_an_unbounded_forget_loss_needs_stop_checks():
    given = {"name": "ofmu", "forget_loss": "cross_entropy"}
    assert OPTIONS.validate_python(given).early_stopping
    with pytest.raises(ValidationError, match="leave early_stopping on") as refused:
        OPTIONS.validate_python(given | {"early_stopping": False})
    assert refused.value.errors()[0]["loc"] == ("ofmu", "forget_loss")


def test_the_published_estimate_goes_with_fila_alone():
    assert OPTIONS.validate_python({"name": "loku", "initializer": "fila", "fisher": "paper"}).fisher == "paper"
    with pytest.raises(ValidationError, match="ask for initializer fila") as refused:
        OPTIONS.validate_python({"name": "loku", "fisher": "paper"})
    assert refused.value.errors()[0]["loc"] == ("loku", "fisher")


def test_a_bounded_forget_loss_does_not():
    assert not OPTIONS.validate_python({"name": "ofmu", "early_stopping": False}).early_stopping
