"""Every membership score by the name it has in reports and file names."""

from core.evaluation.membership.compressed_loss import CompressedLoss
from core.evaluation.membership.loss import Loss
from core.evaluation.membership.min_k import MinK
from core.evaluation.membership.min_k_plus import MinKPlus
from core.evaluation.membership.reference_difference import ReferenceDifference
from core.evaluation.membership.score import AttackScore

MEMBERSHIP_SCORES: dict[str, AttackScore] = {
    "loss": Loss(),
    "compressed_loss": CompressedLoss(),
    "min_k": MinK(),
    "min_k_plus": MinKPlus(),
    "reference_difference": ReferenceDifference(),
}
