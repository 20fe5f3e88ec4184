from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class PrefixLayer(DynamicLayer):  # type: ignore[misc]  # transformers ships no types
    """One layer's keys and values of prefixes that are decoded side by side.

    They are written into room set aside at the start: the library's own layer copies everything it holds at each
    token, which on a CPU takes longer than the model does.
    """

    def __init__(self, keys: Tensor, values: Tensor, *, room: int) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self._start, self._stop = 0, keys.shape[2]
        self._all_keys, self._all_values = _with_room(keys, room), _with_room(values, room)
        self._show(rows=len(keys))

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append the keys and values (P', heads, 1, head size) of the newest token and return all that are kept."""
        rows = len(key_states)
        self._all_keys[:rows, :, self._stop] = key_states[:, :, 0]
        self._all_values[:rows, :, self._stop] = value_states[:, :, 0]
        self._stop += 1
        self._show(rows=rows)
        return self.keys, self.values

    def keep(self, *, rows: int, width: int) -> None:
        """Keep the first rows, and of the places the last ones."""
        self._start = self._stop - width
        self._show(rows=rows)

    def _show(self, *, rows: int) -> None:
        self.keys = self._all_keys[:rows, :, self._start : self._stop]
        self.values = self._all_values[:rows, :, self._start : self._stop]


def prefix_cache(full: DynamicCache, *, rows: Sequence[int], lengths: Sequence[int], room: int) -> DynamicCache:
    """Return the keys and values of prefixes of a right-padded batch, aligned on the right.

    A layer that looks back a fixed distance counts places of the cache, not positions, so the gap must not be between
    the prefix and what is decoded. What fills it is to be masked; it is copied from real places and hence finite.

    Args:
        full: the cache of the batch.
        rows: for each prefix its row in the batch.
        lengths: for each prefix its number of tokens.
        room: how many tokens will be appended at most.
    """
    device = full.layers[0].keys.device
    length = torch.tensor(lengths, device=device)  # (P,)
    row = torch.tensor(rows, device=device).unsqueeze(1)  # (P, 1)
    width = max(lengths)
    place = (torch.arange(width, device=device) - (width - length).unsqueeze(1)).clamp_min(0)  # (P, width)
    cache = DynamicCache()
    cache.layers = [
        PrefixLayer(_taken(layer.keys, row, place), _taken(layer.values, row, place), room=room)
        for layer in full.layers
    ]
    return cache


def _taken(states: Tensor, row: Tensor, place: Tensor) -> Tensor:
    return states.transpose(1, 2)[row, place].transpose(1, 2)  # (P, heads, width, head size)


def _with_room(states: Tensor, room: int) -> Tensor:
    rows, heads, width, size = states.shape
    grown = states.new_empty(rows, heads, width + room, size)
    grown[:, :, :width] = states
    return grown
