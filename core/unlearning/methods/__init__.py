from collections.abc import Callable

from torch import Tensor

from core.modeling.scoring import TokenScores
from core.unlearning.methods.inverted_hinge import InvertedHinge

ForgetLoss = Callable[[TokenScores], Tensor]

# The forget loss behind each method of ``core.domain.catalog``.
METHODS: dict[str, ForgetLoss] = {"loku": InvertedHinge()}
