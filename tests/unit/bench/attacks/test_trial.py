from bench.attacks.findings import ANSWERS, Findings, Trial, strongest
from bench.attacks.page import page
from bench.attacks.trial import Attacker
from core.evaluation.lessons import VARIANTS
from tests.fakes.unlearned_model import BENIGN, HOLDOUT, NEIGHBOURS, scene, trained_on

SCENE = {"neighbours": NEIGHBOURS, "benign": BENIGN, "holdout": HOLDOUT}


def test_an_attacker_tries_every_variant_and_the_answers_again_beside_unseen_people():
    attacked = scene(reference=trained_on(BENIGN), **SCENE)
    attacker = Attacker(steps=(0, 2), learning_rates=(1e-3, 5e-3))

    found = [result for rate in attacker.learning_rates for result in attacker.relearn(attacked, rate, seed=1)]
    unseen = attacker.relearn_beside_unseen(attacked, found, seed=1)

    assert [result.variant for result in found] == [*VARIANTS, *VARIANTS]
    assert [result.absent for result in found] == [None] * len(found)
    answers = strongest(found, ANSWERS)
    assert (unseen.attacked, unseen.reference) == (answers.attacked, None)
    assert unseen.control.n == answers.attacked.n
    trial = Trial(method="loku", seed=1, outcome="forgotten", relearning=found, unseen_relearning=unseen)
    kept = Findings(command="-", commit="-", device="-", reference_memorised=1.0, trials=[trial, trial])
    assert "| loku | 1 | forgotten |" in page(Findings.model_validate_json(kept.model_dump_json()))


def test_where_no_answers_could_be_taught_there_is_nothing_beside_which_to_teach_others():
    attacker = Attacker(steps=(0, 1), learning_rates=(1e-3,))

    assert attacker.relearn_beside_unseen(scene(), [], seed=0) is None
