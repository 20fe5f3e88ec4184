from dataclasses import dataclass
from datetime import timedelta

from core.domain.errors import NotFoundError
from core.domain.item_set import ProvisionalSet
from core.ports import BaseModelRepository, Clock, ItemStore, JobRepository

# Between the texts and the row of their owner lie milliseconds; an hour also covers clocks that disagree.
_ORPHANED_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class DestroyOrphans:
    """Destroys texts whose request or base model was never stored, because a process died in between."""

    items: ItemStore
    jobs: JobRepository
    base_models: BaseModelRepository
    clock: Clock

    def __call__(self) -> int:
        """Return how many sets were destroyed. A set whose owner turns out to be stored is kept for good."""
        destroyed = 0
        for found in self.items.provisional(stored_before=self.clock() - _ORPHANED_AFTER):
            if self._has_owner(found):
                self.items.keep(found.id)
            else:
                self.items.destroy(found.id)
                destroyed += 1
        return destroyed

    def _has_owner(self, found: ProvisionalSet) -> bool:
        try:
            self.jobs.request(found.owner, tenant=found.tenant)
        except NotFoundError:
            return self._is_base_model(found.owner)
        return True

    def _is_base_model(self, owner: str) -> bool:
        try:
            self.base_models.get(owner)
        except NotFoundError:
            return False
        return True
