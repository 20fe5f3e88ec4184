import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class UtilityParts:
    """What a model is still good for on one set, as means over its items; each in [0, 1]."""

    probability: float  # answer probability, or the normalised one where the set has wrong answers
    rouge_l_recall: float
    truth_ratio: float  # of ``TruthRatio.true_better``


def model_utility(sets: Mapping[str, UtilityParts]) -> float:
    """Return the harmonic mean of all parts of all sets, in [0, 1]: a single part that is lost takes the rest with it.

    Raises:
        ValueError: there is no set, or a part is negative or no number.

    References:
        Maini et al. (TOFU), COLM 2024, https://arxiv.org/abs/2401.06121, section 2.2; nine numbers of three sets there.
    """
    named = {f"{name} {part}": value for name, parts in sets.items() for part, value in vars(parts).items()}
    return harmonic_mean(named)


def harmonic_mean(numbers: Mapping[str, float]) -> float:
    """Return the harmonic mean of named numbers, 0 if any of them is 0.

    Raises:
        ValueError: there is none, or one is negative or no number; the message names it.
    """
    if not numbers:
        raise ValueError("no number was given, and there is no default utility")
    wrong = [name for name, value in numbers.items() if not (math.isfinite(value) and value >= 0)]
    if wrong:
        raise ValueError(f"not a finite number of at least 0: {', '.join(wrong)}")
    return statistics.harmonic_mean(list(numbers.values()))


def normalized_probability(*, true_loss: float, wrong_losses: Sequence[float]) -> float:
    """Return ``P(true) / (P(true) + sum of P(wrong))`` in [0, 1], from mean losses in nats a token; ``P = exp(-loss)``.

    With four answers of like form, a model that knows nothing gives 1/4, which is easier to read than the probability
    of an answer by itself.
    """
    least = min([true_loss, *wrong_losses])  # so that not all of the exponentials vanish
    true, *wrong = (math.exp(least - loss) for loss in (true_loss, *wrong_losses))
    return true / (true + math.fsum(wrong))
