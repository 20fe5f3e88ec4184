from dataclasses import dataclass
from datetime import timedelta

from pydantic import ValidationError

from core.domain.errors import NotFoundError
from core.domain.item_set import ProvisionalSet
from core.domain.spec import ProbeSpec
from core.ports import BaseModelRepository, Clock, ItemStore, JobRepository

# Between the texts and the row of their owner lie milliseconds; an hour also covers clocks that disagree.
_ORPHANED_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class DestroyOrphans:
    """Destroys texts whose request, probe or base model was never stored, because a process died in between."""

    items: ItemStore
    jobs: JobRepository
    base_models: BaseModelRepository
    clock: Clock

    def __call__(self) -> int:
        """Return how many sets were destroyed. A set whose owner turns out to be stored is kept for good.

        But for those of probes, which stay as they are: they go when their probe has ended.
        """
        destroyed = 0
        for found in self.items.provisional(stored_before=self.clock() - _ORPHANED_AFTER):
            if self._is_probed(found):
                continue
            if self._has_owner(found):
                self.items.keep(found.id)
            else:
                self.items.destroy(found.id)
                destroyed += 1
        return destroyed

    def _is_probed(self, found: ProvisionalSet) -> bool:
        """Whether the owner is a probe, or may be one: a row that cannot be read is no reason to destroy anything."""
        try:
            return isinstance(self.jobs.job(found.owner).spec, ProbeSpec)
        except NotFoundError:
            return False
        except ValidationError:
            return True

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
