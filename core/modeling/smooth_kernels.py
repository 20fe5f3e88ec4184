from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode


@contextmanager
def smooth_kernels() -> Iterator[None]:
    """Within, forward passes leave a graph that can be differentiated up to three times.

    Two kernels of torch 2.13 cannot. Fused attention has no second derivative and says so. Layer normalisation has a
    third one that is wrong without a word, because its second takes mean and deviation for constants (pytorch issue
    175754). Here attention runs as plain matrix products and layer normalisation in
    elementary operations: the same function up to rounding, with more memory.
    """
    with sdpa_kernel(SDPBackend.MATH), _ElementaryLayerNorm():
        yield


class _ElementaryLayerNorm(TorchFunctionMode):
    """Calls of ``torch.nn.functional.layer_norm``, wherever a model makes them, go to :func:`layer_norm`."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],  # torch calls it so
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        chosen = cast("Callable[..., object]", layer_norm) if func is functional.layer_norm else func
        return chosen(*args, **(kwargs or {}))


def layer_norm(  # torch's own signature
    input: Tensor,  # noqa: A002
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return what ``torch.nn.functional.layer_norm`` does, in operations whose derivatives are right to any order.

    In float32 at least, as the kernel.
    """
    over = tuple(range(-len(normalized_shape), 0))
    wide = input.to(torch.promote_types(input.dtype, torch.float32))
    centred = wide - wide.mean(over, keepdim=True)
    normal = centred * torch.rsqrt(centred.square().mean(over, keepdim=True) + eps)
    scaled = normal if weight is None else normal * weight
    return (scaled if bias is None else scaled + bias).to(input.dtype)
