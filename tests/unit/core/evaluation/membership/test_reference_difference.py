import dataclasses

import pytest

from core.evaluation.membership.reference_difference import ReferenceDifference
from core.evaluation.membership.score import UndefinedScoreError


def test_score_is_the_loss_over_that_of_the_reference(evidence, scores):
    item = evidence([-1.0, -2.0], reference=scores([-4.0, -5.0]))

    assert ReferenceDifference().of_item(item) == pytest.approx(1.5 - 4.5)


def test_score_is_undefined_when_there_is_no_reference(evidence):
    with pytest.raises(UndefinedScoreError, match="no reference model"):
        ReferenceDifference().of_item(evidence([-1.0]))


def test_score_is_undefined_when_the_reference_reads_other_tokens(evidence, scores):
    reference = scores([-1.0, -2.0])
    reference = dataclasses.replace(reference, target=reference.target + 1)

    with pytest.raises(UndefinedScoreError, match="other tokens"):
        ReferenceDifference().of_item(evidence([-1.0, -2.0], reference=reference))
