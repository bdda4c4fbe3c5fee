"""Region sums on CUDA by Triton: from targets to what the kernels take."""

from __future__ import annotations

from math import prod

import torch
import triton
from torch import Tensor

from . import chunked
from .targets import HardLabel, Target, TeacherLogits
from .triton_function import Options, TritonRegionSums
from .triton_kernels import forward_kernel

__all__ = ['MAX_CLASSES', 'region_sums', 'unsupported']

MAX_CLASSES = 192
_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
_INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)


# Tracing kernels by torch.compile needs a GPU to be tried: break the graph.
@torch.compiler.disable
def region_sums(
    logits: Tensor,
    target: Target,
    weight: Tensor | None,
    *,
    norm: float,
    use_sigmoid: bool,
    class_weight: Tensor | None,
    with_product: bool,
    with_cross_entropy: bool,
) -> tuple:
    """Triton implementation of :func:`mmseg_jml.kernels.region_sums`.

    What :func:`unsupported` names is left to the chunked implementation.
    Tensors with classes are read through their strides (a copy is made only
    where three or more spatial dimensions do not merge into two), those
    without (labels, weights) are copied if they are not contiguous.

    Raises:
        ValueError: If ``logits`` are not on a CUDA device.
    """
    if not (logits.is_cuda or _INTERPRETED):
        raise ValueError(
            "Expected CUDA logits for impl='triton', but got "
            f"logits on {logits.device}; impl='auto' runs on "
            'any device'
        )
    if unsupported(logits, norm):
        return chunked.region_sums(
            logits,
            target,
            weight,
            norm=norm,
            use_sigmoid=use_sigmoid,
            class_weight=class_weight,
            with_product=with_product,
            with_cross_entropy=with_cross_entropy,
        )
    label, smoothed, options = _describe(
        target, norm, use_sigmoid, with_product, with_cross_entropy
    )
    if class_weight is not None:
        class_weight = class_weight.to(logits.device, torch.float32)
        class_weight = class_weight.contiguous()
    prediction, label_sum, overlap, extra, entropy, weight_sum = (
        TritonRegionSums.apply(
            _as_rows(logits),
            label,
            smoothed,
            None if weight is None else _per_pixel(weight),
            class_weight,
            options,
        )
    )
    product = overlap if options.kind == 'hard' or norm == 2 else extra
    if use_sigmoid:
        mass = weight_sum * (
            logits.shape[1] if class_weight is None else class_weight.sum()
        )
    else:
        mass = label_sum if class_weight is None else label_sum * class_weight
        mass = mass.sum(1)
    if norm == 2 and options.extra:
        label_sum = extra
    return (
        prediction,
        label_sum,
        overlap,
        product if with_product else None,
        entropy,
        mass,
    )


def unsupported(logits: Tensor, norm: float) -> str | None:
    """Why the kernels cannot take an input, or None if they can.

    Args:
        logits (Tensor): (N, C, *).
        norm (float): Norm of the region sums.

    Returns:
        str | None: The reason.
    """
    if norm not in (1, 2):
        return f'norm {norm} is neither 1 nor 2'
    if logits.dtype not in _DTYPES:
        return f'{logits.dtype} is neither float32, bfloat16 nor float16'
    if logits.shape[1] > MAX_CLASSES:
        return f'{logits.shape[1]} classes are more than {MAX_CLASSES}'
    if prod(logits.shape[2:]) >= 2**30:
        return 'pixels of an image are counted in 32 bits'
    return None


def _describe(
    target: Target,
    norm: float,
    use_sigmoid: bool,
    with_product: bool,
    with_cross_entropy: bool,
) -> tuple:
    """Label, mask of smoothed pixels and options for a target."""
    options = Options(
        'probabilities',
        int(norm),
        use_sigmoid,
        with_cross_entropy,
        norm == 2 or with_product,
    )
    if isinstance(target, HardLabel):
        soft = target.is_smoothed
        smoothed = target.smoothed if soft else None
        options = options._replace(
            kind='smoothed' if soft else 'hard',
            extra=options.extra and soft,
            ignore_index=target.ignore_index,
            on=float(target.on),
            off=float(target.off),
        )
        return (
            _per_pixel(target.label),
            None if smoothed is None else _per_pixel(smoothed),
            options,
        )
    if isinstance(target, TeacherLogits):
        options = options._replace(
            kind='sigmoid' if target.use_sigmoid else 'softmax',
            inverse_temperature=1 / target.temperature,
        )
    return _as_rows(target.value.detach()), None, options


def _as_rows(tensor: Tensor) -> Tensor:
    """(N, C, *) as (N, C, rows, columns), a view where there can be one."""
    space = tensor.shape[2:]
    columns = space[-1] if space else 1
    tensor = tensor.reshape(*tensor.shape[:2], prod(space[:-1]), columns)
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


def _per_pixel(tensor: Tensor) -> Tensor:
    """(N, *) as one contiguous row."""
    tensor = tensor.detach().reshape(-1).contiguous()
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor
