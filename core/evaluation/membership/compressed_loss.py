import zlib
from dataclasses import dataclass

from core.evaluation.membership.score import MembershipEvidence


def compressed_size(content: str) -> int:
    """Return how many bytes zlib makes of an item's content: its text, or the completion of a pair. Never 0.

    Builds of zlib differ by some bytes, so numbers compare within one installation; an AUC hardly sees that.
    """
    return len(zlib.compress(content.encode()))


@dataclass(frozen=True)
class CompressedLoss:
    """The loss relative to how much there is to say: text that repeats itself has a low loss in any model (zlib)."""

    def of_item(self, evidence: MembershipEvidence) -> float:
        """Return the item's mean loss over the bytes of its compressed content, in nats a byte, at least 0.

        A mean over a sum, as published: it falls with the length of the item alone, so sets of unlike length differ in
        it whatever the model was trained on.

        References:
            Carlini et al., USENIX Security 2021, https://arxiv.org/abs/2012.07805; code in locuslab/open-unlearning.
        """
        return evidence.scores.loss / evidence.compressed_bytes
