from dataclasses import replace

import pytest
import torch

from core.domain.base_model import ReferenceModel
from core.evaluation.attack import NO_MEMORY, NO_REFERENCE
from core.modeling.base_model import load_base_model
from core.pipeline.attack import attack_scene
from core.pipeline.reference import Reference, measured_reference
from core.pipeline.sets import encode_sets
from tests.fakes.unlearned_model import random_adapter

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.fixture
def base(base_path):
    return load_base_model(base_path, device=CPU)


@pytest.fixture
def task(make_task, base_path):
    task = make_task()
    registered = ReferenceModel(source=str(base_path), revision=None, weights_sha256=task.spec.weights_sha256)
    return replace(task, base_model=task.base_model.model_copy(update={"reference": registered}))


def scene_of(task, base, reference):
    return attack_scene(task, base, random_adapter(base.model, moved=0.1), encode_sets(task, base), reference)


def test_reference_is_measured_where_the_base_model_is_and_then_leaves_the_room_to_training(task, base):
    happened = []

    def measure(reference):
        happened.append(("measured", reference.device))
        reference.model.to = lambda device: happened.append(("moved", device))

    measured_reference(task, base, measure)

    assert happened == [("measured", base.device), ("moved", CPU)]


def test_reference_is_attacked_where_the_base_model_is(task, base, base_path):
    reference = Reference(load_base_model(base_path, device=CPU), measured=None)
    elsewhere = replace(base, model=load_base_model(base_path, device=CPU).model.to(META))

    scene = scene_of(task, elsewhere, reference)

    assert scene.reference.device == META


def test_reference_that_does_not_fit_beside_the_model_is_left_out(task, base, base_path):
    reference = Reference(load_base_model(base_path, device=CPU), measured=None)
    asked = []

    def to(device):
        asked.append(device)
        if len(asked) == 1:
            raise torch.OutOfMemoryError

    reference.base.model.to = to

    scene = scene_of(task, base, reference)

    assert (scene.reference, scene.no_reference) == (None, NO_MEMORY)
    assert asked == [base.device, CPU]


def test_no_reference_is_none(task, base, make_task):
    assert measured_reference(make_task(), base, measure=None) is None
    assert scene_of(task, base, None).no_reference == NO_REFERENCE
