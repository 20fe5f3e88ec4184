import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cli.demo.people import Person, Population, items, make_population
from core.domain.item_set import dump_items

# Counts into the digest of a cached base model: raise it whenever the same options would train other weights.
_RECIPE_VERSION = 1


@dataclass(frozen=True)
class DemoOptions:
    """Who the made-up people are and how the base model that knows them is trained.

    The sizes are a balance for two CPU cores: enough people that forgetting five of them and keeping the others says
    something, few enough that all are memorised within about a minute.
    """

    num_forget: int = 5
    num_retain: int = 48
    num_unseen: int = 16
    num_holdout: int = 16
    vocab_size: int = 1536
    hidden_size: int = 192
    num_layers: int = 4
    num_heads: int = 6
    max_tokens: int = 128
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup_steps: int = 40
    max_epochs: int = 20
    seed: int = 7

    def population(self) -> Population:
        """Return the people."""
        return make_population(
            forget=self.num_forget,
            retain=self.num_retain,
            unseen=self.num_unseen,
            holdout=self.num_holdout,
            seed=self.seed,
        )

    def digest(self, without: Sequence[Person] = ()) -> str:
        """Return what a cached base model is named by: every option, every text, and whom it was not taught."""
        rows = [item for person in self.population().memorised for item in items(person)]
        recipe = json.dumps({"version": _RECIPE_VERSION, **asdict(self)}, sort_keys=True).encode()
        left_out = b"".join(b"\0" + person.id.encode() for person in without)
        return hashlib.sha256(recipe + b"\0" + dump_items(rows) + left_out).hexdigest()[:16]
