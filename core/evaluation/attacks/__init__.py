"""Every attack by the name it has in reports and file names, with the budget it has by default."""

from core.evaluation.attack import Attack
from core.evaluation.attacks.prompts import Prompts
from core.evaluation.attacks.quantisation import Quantisation
from core.evaluation.attacks.relearning import Relearning
from core.evaluation.attacks.sampling import Sampling

ATTACKS: dict[str, Attack] = {
    "relearning": Relearning(),
    "quantisation": Quantisation(),
    "prompts": Prompts(),
    "sampling": Sampling(),
}
