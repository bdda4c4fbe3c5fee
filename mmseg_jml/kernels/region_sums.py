"""Region sums: the one place where a loss touches pixels."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import chunked, reference
from .autograd import Reduce, differentiable
from .one_step import as_one_step
from .request import Request
from .results import RegionSums

__all__ = [
    'IMPLEMENTATIONS',
    'check_implementation',
    'choose',
    'reduced',
    'region_sums',
]

#: The implementations of the region sums, by the names of the option `impl`.
IMPLEMENTATIONS = ('auto', 'reference', 'torch', 'triton')
_VARIABLE = 'MMSEG_JML_IMPL'


def region_sums(request: Request, impl: str = 'auto') -> RegionSums:
    """Sum over pixels what Jaccard, Dice, Tversky and cross-entropy need.

    Equal, for a dense label ``y`` and n = 1, to::

        p = logits.softmax(1)                       # or sigmoid
        P = (w * p).flatten(2).sum(2)
        Y = (w * y).flatten(2).sum(2)
        T = (w * torch.minimum(p, y)).flatten(2).sum(2)

    Gradients flow to the logits only. Where p equals y the derivative of
    min(p, y) is 1/2. At a hard label it is 1, since min(p, 1) = p. A label
    that is neither a class nor ignored does not count.

    Args:
        request (Request): What to sum.
        impl (str): 'reference', the formulas as on paper; 'torch', in bounded
            memory on any device; 'triton', kernels for a GPU; or 'auto', see
            :func:`choose`. Defaults to 'auto'.

    Returns:
        RegionSums: One row per image.

    Raises:
        ValueError: If ``impl`` is unknown, or is 'triton' where Triton cannot
            serve the request; the message says why.

    Examples:
        >>> from mmseg_jml.kernels import Probabilities
        >>> logits = torch.zeros(1, 2, 1, requires_grad=True)  # p = 1/2, 1/2
        >>> label = Probabilities(torch.tensor([[[0.75], [0.25]]]))
        >>> sums = region_sums(Request(logits, label))
        >>> sums.overlap.tolist()  # min(p, y)
        [[0.5, 0.25]]
        >>> sums.overlap.sum().backward()
        >>> logits.grad.flatten().tolist()  # p_0 p_1 (1 - 0), and minus that
        [0.25, -0.25]
    """
    name = choose(request, impl)
    # bfloat16 sums under autocast would lose small classes
    with torch.autocast(request.logits.device.type, enabled=False):
        if name == 'reference':
            return reference.region_sums(request)
        return RegionSums(*_run(request, name, None))


def reduced(
    request: Request, reduce: Reduce, impl: str = 'auto'
) -> tuple[Tensor | None, ...]:
    """Reduce region sums to a scalar, with a derivative in closed form.

    Args:
        request (Request): What to sum.
        reduce (Callable[[RegionSums], Reduction]): Maps sums to a scalar and
            its derivative by the sums. It consists of differentiable
            operations, so that impl='reference' has all derivatives.
        impl (str): As for :func:`region_sums`. Defaults to 'auto'.

    Returns:
        tuple[Tensor | None, ...]: The scalar, and the ``others`` of the
        reduction.

    Raises:
        ValueError: As for :func:`region_sums`.

    Examples:
        The loss -sum(T), whose derivative by T is -1:

        >>> from mmseg_jml.kernels import HardLabel, Reduction
        >>> def minus_overlap(sums):
        ...     slopes = torch.zeros_like(sums.by_class)
        ...     slopes[:, 2] = -1
        ...     return Reduction(-sums.overlap.sum(), slopes)
        >>> logits = torch.zeros(1, 2, 1, requires_grad=True)  # p = 1/2, 1/2
        >>> label = HardLabel(torch.zeros(1, 1, dtype=torch.long))
        >>> (loss,) = reduced(Request(logits, label), minus_overlap)
        >>> loss.backward()
        >>> loss.item(), logits.grad.flatten().tolist()
        (-0.5, [-0.25, 0.25])
    """
    name = choose(request, impl)
    with torch.autocast(request.logits.device.type, enabled=False):
        if name == 'reference':
            result = reduce(reference.region_sums(request))
            others = (v if v is None else v.detach() for v in result.others)
            return (result.value, *others)
        return _run(request, name, reduce)


def choose(request: Request, impl: str = 'auto') -> str:
    """Name the implementation that serves a request.

    'auto' is what the environment variable MMSEG_JML_IMPL names, if it is
    set. Otherwise it is 'triton' on CUDA wherever Triton can serve, else
    'torch'; the log says once why Triton cannot.

    Args:
        request (Request): What to sum.
        impl (str): One of ``IMPLEMENTATIONS``. Defaults to 'auto'.

    Returns:
        str: 'reference', 'torch' or 'triton'.

    Raises:
        ValueError: As for :func:`region_sums`.

    Examples:
        >>> from mmseg_jml.kernels import HardLabel
        >>> label = HardLabel(torch.zeros(1, 3, dtype=torch.long))
        >>> choose(Request(torch.zeros(1, 2, 3), label), 'reference')
        'reference'
    """
    source = 'impl'
    if impl == 'auto' and _VARIABLE in os.environ:
        impl, source = os.environ[_VARIABLE], _VARIABLE
    check_implementation(impl, source)
    if impl == 'auto' and not request.logits.is_cuda:
        return 'torch'
    if impl not in ('auto', 'triton'):
        return impl
    reason = _why_not_triton(request)
    if reason is None:
        return 'triton'
    if impl == 'triton':
        raise ValueError(
            f"Expected a request that Triton can serve for {source}='triton', "
            f"but {reason}; impl='auto' takes what can"
        )
    _say_once(reason)
    return 'torch'


def check_implementation(name: str, source: str = 'impl') -> None:
    """Check the name of an implementation.

    Args:
        name (str): The name.
        source (str): The option that it comes from, for the message. Defaults
            to 'impl'.

    Raises:
        ValueError: If it is none of ``IMPLEMENTATIONS``.

    Examples:
        >>> check_implementation('torch')
    """
    if name not in IMPLEMENTATIONS:
        raise ValueError(
            f"Expected {source} to be 'auto' or one of {IMPLEMENTATIONS[1:]}, "
            f'but got {name!r}'
        )


def _why_not_triton(request: Request) -> str | None:
    try:
        from .triton import engine
    except ImportError as error:
        return f'Triton does not import here ({error})'
    return engine.why_not(request)


@functools.lru_cache(maxsize=None)
def _say_once(reason: str) -> None:
    logging.getLogger('mmseg_jml').warning(
        'The loss runs in plain PyTorch on this GPU, which is slower than '
        'its Triton kernels, because %s.',
        reason,
    )


def _run(
    request: Request, name: str, reduce: Reduce | None
) -> tuple[Any, ...]:
    run: Callable[..., tuple[Any, ...]] = as_one_step(differentiable)
    if name == 'torch':
        return run(request, chunked, reduce)
    from .triton import engine

    return run(request, engine, reduce)
