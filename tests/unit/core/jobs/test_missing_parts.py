import pytest

from core.domain.catalog import LawOptions, LokuOptions, MethodOptions, RmuOptions
from core.domain.errors import InvalidRequestError, LayerOutOfRangeError, UnknownModuleError
from core.jobs.missing_parts import refuse_missing_parts
from tests.fakes.examples import a_base_model

MODULES = "there are: c_fc, c_proj, k_proj, out_proj, q_proj, v_proj"
LAYERS = "decoder layers 0 to 4"
MISSING = [
    (LokuOptions(target_modules=["my_secret"]), UnknownModuleError, "/method/target_modules/0", MODULES),
    (LokuOptions(target_modules=["c_fc", "proj"]), UnknownModuleError, "/method/target_modules/1", MODULES),
    (LokuOptions(target_modules=["h.5.mlp.c_fc"]), UnknownModuleError, "/method/target_modules/0", MODULES),
    (LokuOptions(target_modules=["attention"]), UnknownModuleError, "/method/target_modules/0", MODULES),
    (LokuOptions(target_modules=["lm_head"]), UnknownModuleError, "/method/target_modules/0", MODULES),
    (RmuOptions(target_modules=["lm_head"]), UnknownModuleError, "/method/target_modules/0", MODULES),
    (RmuOptions(layer=5), LayerOutOfRangeError, "/method/layer", LAYERS),
    (LawOptions(layers=[4]), LayerOutOfRangeError, "/method/layers/0", LAYERS),
    (LawOptions(layers=[3, 777]), LayerOutOfRangeError, "/method/layers/1", LAYERS),
]
PRESENT = [
    LokuOptions(),
    LokuOptions(target_modules=["c_fc", "attention.q_proj", "h.4.mlp.c_proj", "transformer.h.0.mlp.c_fc"]),
    RmuOptions(),
    RmuOptions(layer=4),
    LawOptions(),
    LawOptions(layers=[3, 0]),
]


@pytest.mark.parametrize(("method", "error", "param", "what_is_there"), MISSING)
def test_what_the_base_model_lacks_is_refused_with_what_it_has(
    method: MethodOptions, error: type[InvalidRequestError], param: str, what_is_there: str
):
    with pytest.raises(error) as refused:
        refuse_missing_parts(method, a_base_model())

    assert refused.value.param == param
    assert what_is_there in str(refused.value)


def test_no_refusal_repeats_what_was_sent():
    for method in (LokuOptions(target_modules=["my_secret"]), RmuOptions(layer=777), LawOptions(layers=[777])):
        with pytest.raises(InvalidRequestError) as refused:
            refuse_missing_parts(method, a_base_model())

        assert not [word for word in ("secret", "777") if word in str(refused.value)]


@pytest.mark.parametrize("method", PRESENT)
def test_what_the_base_model_has_is_taken(method: MethodOptions):
    refuse_missing_parts(method, a_base_model())


@pytest.mark.parametrize("method", [method for method, *_ in MISSING])
def test_nothing_is_refused_where_it_is_not_known_what_there_is(method: MethodOptions):
    refuse_missing_parts(method, a_base_model().model_copy(update={"num_layers": None, "linear_names": ()}))
