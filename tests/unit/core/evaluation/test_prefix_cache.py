import torch
from transformers import DynamicCache

from core.evaluation.prefix_cache import prefix_cache


def full_cache():
    """Two rows of five places, one head of size one; the key at a place is 10 * row + place."""
    keys = torch.arange(5.0) + torch.tensor([[0.0], [10.0]])
    cache = DynamicCache()
    cache.update(keys[:, None, :, None], -keys[:, None, :, None], 0)
    return cache


def keys_of(layer):
    return layer.keys[:, 0, :, 0].tolist()


def test_prefixes_are_aligned_on_the_right():
    (layer,) = prefix_cache(full_cache(), rows=[1, 0], lengths=[2, 4], room=0).layers

    assert keys_of(layer)[0][2:] == [10.0, 11.0]  # before them is padding
    assert keys_of(layer)[1] == [0.0, 1.0, 2.0, 3.0]
    assert torch.equal(layer.values, -layer.keys)


def test_newest_token_is_appended():
    cache = prefix_cache(full_cache(), rows=[0, 1], lengths=[2, 2], room=1)

    keys, values = cache.update(torch.full((2, 1, 1, 1), 7.0), torch.full((2, 1, 1, 1), 8.0), 0)

    assert keys[:, 0, :, 0].tolist() == [[0.0, 1.0, 7.0], [10.0, 11.0, 7.0]]
    assert values[:, 0, -1, 0].tolist() == [8.0, 8.0]
    assert cache.get_seq_length() == 3


def test_first_rows_and_last_places_are_kept():
    cache = prefix_cache(full_cache(), rows=[0, 1], lengths=[2, 3], room=1)
    (layer,) = cache.layers

    layer.keep(rows=1, width=2)
    cache.update(torch.full((1, 1, 1, 1), 7.0), torch.full((1, 1, 1, 1), 8.0), 0)

    assert keys_of(layer) == [[0.0, 1.0, 7.0]]


def test_batch_it_was_cut_from_is_not_written_to():
    full = full_cache()
    before = full.layers[0].keys.clone()

    cache = prefix_cache(full, rows=[0], lengths=[3], room=1)
    cache.update(torch.full((1, 1, 1, 1), 7.0), torch.full((1, 1, 1, 1), 8.0), 0)

    assert torch.equal(full.layers[0].keys, before)
