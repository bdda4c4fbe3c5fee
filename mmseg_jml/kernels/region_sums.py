"""Region sums: the one place where a loss touches pixels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from . import chunked, reference
from .targets import Target

__all__ = ['RegionSums', 'region_sums', 'IMPLEMENTATIONS']


class RegionSums(NamedTuple):
    """Sums over the pixels of each image, float64, differentiable.

    With probability p, label y and pixel weight w:

    Attributes:
        prediction (Tensor): (N, C), P = sum of w p^n.
        target (Tensor): (N, C), Y = sum of w y^n.
        overlap (Tensor): (N, C), T = (P + Y - sum of w |p - y|^n) / 2; for
            n = 1 the sum of w min(p, y), for n = 2 the sum of w p y.
        product (Tensor, optional): (N, C), sum of w p y, where asked for.
        cross_entropy (Tensor, optional): (N,), sum of w k_c y_c (-log p_c)
            with class weights k, where asked for; with sigmoid the sum over
            classes of the binary cross-entropies.
        mass (Tensor): (N,), what a mean divides ``cross_entropy`` by: the
            sum of w k_c y_c; with sigmoid the sum of w k_c.
    """

    prediction: Tensor
    target: Tensor
    overlap: Tensor
    product: Tensor | None
    cross_entropy: Tensor | None
    mass: Tensor


def _triton(*args, **kwargs) -> tuple:
    """The Triton kernels, imported when they are asked for."""
    try:
        from .triton_region_sums import region_sums
    except ModuleNotFoundError as error:
        if error.name != 'triton':
            raise
        raise ModuleNotFoundError(
            "Expected triton to be installed for impl='triton', but it is "
            "not; install it, or use impl='auto'",
            name='triton',
        ) from error
    return region_sums(*args, **kwargs)


IMPLEMENTATIONS = {
    'torch': chunked.region_sums,
    'triton': _triton,
    'reference': reference.region_sums,
}


def region_sums(
    logits: Tensor,
    target: Target,
    weight: Tensor | None = None,
    *,
    norm: float = 1,
    use_sigmoid: bool = False,
    class_weight: Tensor | None = None,
    with_product: bool = False,
    with_cross_entropy: bool = False,
    impl: str = 'auto',
) -> RegionSums:
    """Sums over pixels that Jaccard, Dice, Tversky and cross-entropy need.

    Equal, for a dense label ``y`` and n = 1, to::

        p = logits.softmax(1)                       # or sigmoid
        P = (w * p).flatten(2).sum(2)
        Y = (w * y).flatten(2).sum(2)
        T = (w * torch.minimum(p, y)).flatten(2).sum(2)

    Gradients flow to ``logits`` only. Where p equals y the derivative of
    min(p, y) is 1/2. At a hard label it is 1, since min(p, 1) = p; at a
    smoothed one it is 1/2 or 1, as suits the implementation.

    Args:
        logits (Tensor): (N, C, *), float16, bfloat16, float32 or float64.
            Computed in float32 at least.
        target (HardLabel | Probabilities | TeacherLogits): The label.
        weight (Tensor, optional): (N, *) floats >= 0. Defaults to None.
        norm (float): n >= 1. Defaults to 1.
        use_sigmoid (bool): One sigmoid per class in place of the softmax
            over classes. Defaults to False.
        class_weight (Tensor, optional): (C,), for the cross-entropy alone.
            Defaults to None.
        with_product (bool): Also sum w p y. Defaults to False.
        with_cross_entropy (bool): Also sum the cross-entropy. Defaults to
            False.
        impl (str): A key of ``IMPLEMENTATIONS`` or 'auto', which never picks
            'triton' (CUDA only, and not yet run on a GPU: docs/triton.md).
            Defaults to 'auto'.

    Returns:
        RegionSums: One row per image.

    Raises:
        ValueError: If ``impl`` is unknown.
    """
    name = 'torch' if impl == 'auto' else impl
    if name not in IMPLEMENTATIONS:
        raise ValueError(
            f"Expected impl to be 'auto' or one of "
            f'{sorted(IMPLEMENTATIONS)}, but got {impl!r}'
        )
    # bfloat16 sums under autocast would lose small classes
    with torch.autocast(logits.device.type, enabled=False):
        return RegionSums(
            *IMPLEMENTATIONS[name](
                logits,
                target,
                weight,
                norm=norm,
                use_sigmoid=use_sigmoid,
                class_weight=class_weight,
                with_product=with_product,
                with_cross_entropy=with_cross_entropy,
            )
        )
