"""Soft labels from hard ones: by smoothing, or from several annotators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmseg_jml.kernels import HardLabel

from .windows import (
    boundary_mask,
    check_kernel_size,
    label_windows,
    narrowest_dtype,
)

__all__ = ['check_label_smoothing', 'mean_vote', 'smooth_label']

_KEYS = {
    'neighbours': ('mode', 'epsilon', 'kernel_size'),
    'boundary': ('mode', 'epsilon', 'kernel_size'),
    'uniform': ('mode', 'epsilon'),
}


def check_label_smoothing(
    options: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    """Check the options of label smoothing.

    Args:
        options (Mapping, optional): ``mode``, ``epsilon`` and, where a mode
            has a window, ``kernel_size``, as for :func:`smooth_label`.

    Returns:
        dict | None: A plain copy of the options.

    Raises:
        TypeError: If ``options`` is no mapping.
        ValueError: If a key is unknown or a value out of range.

    Examples:
        >>> check_label_smoothing({'mode': 'boundary', 'epsilon': 0.1})
        {'mode': 'boundary', 'epsilon': 0.1}
    """
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise TypeError(
            'Expected label_smoothing to be a dict like '
            "dict(mode='neighbours', epsilon=0.5, kernel_size=3), "
            f'but got {options!r}'
        )
    options = dict(options)
    mode = options.get('mode')
    if not isinstance(mode, str) or mode not in _KEYS:
        raise ValueError(
            f'Expected label_smoothing mode to be one of {tuple(_KEYS)}, but '
            f"got {mode!r}; mode='neighbours' smooths towards the classes "
            'that are near'
        )
    unknown = sorted(set(options) - set(_KEYS[mode]))
    if unknown:
        raise ValueError(
            f'Expected label_smoothing of mode {mode!r} to have the keys '
            f'{list(_KEYS[mode])}, but got also {unknown}; leave them out'
        )
    epsilon = options.get('epsilon', 0.5)
    if not isinstance(epsilon, (int, float)) or not 0 <= epsilon <= 1:
        raise ValueError(
            'Expected label_smoothing epsilon to be in [0, 1], '
            f'but got {epsilon!r}; epsilon=0.5 gives half of a label away'
        )
    check_kernel_size(options.get('kernel_size', 3))
    return options


def smooth_label(
    label: Tensor,
    num_classes: int,
    mode: str,
    epsilon: float = 0.5,
    kernel_size: int = 3,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
) -> HardLabel:
    """Smooth a hard label, without making it dense.

    A smoothed pixel gives ``epsilon`` of its label away::

        (1 - epsilon) * onehot + epsilon * share

    'uniform' smooths every pixel, and the share is 1 / C for all C classes.
    'boundary' smooths the pixels of :func:`boundary_mask` in the same way,
    which is the smoothing of "Jaccard Metric Losses: Optimizing the Jaccard
    Index with Soft Labels" (arXiv 2302.05666). With sigmoid, where a class is
    there or not, the share of both modes is 1 / 2.

    'neighbours' gives to the classes in the ``kernel_size`` x ``kernel_size``
    window around the pixel: the share of a class is that of its votes. Each
    pixel of the window has one vote, the middle included; ignored pixels and
    what lies beyond the image border have none. Inside an object nothing
    changes, and a class that is not near gets exactly 0. With sigmoid the
    shares are the same.

    That is a spatially varying label smoothing, as is SVLS of "Spatially
    Varying Label Smoothing: Capturing Uncertainty from Expert Annotations"
    (arXiv 2104.05788). SVLS weighs the window with a Gaussian, fixes the
    weight of the middle to the sum of all others, so that a pixel keeps at
    least half of its label, and repeats the image border. Here all votes are
    equal, ``epsilon`` sets how much is given away, and the border is neutral.

    Args:
        label (Tensor): (N, *) int64; (N, H, W) where there is a window.
        num_classes (int): C; 1 stands for the two answers of a head with one
            channel.
        mode (str): 'neighbours', 'boundary' or 'uniform'.
        epsilon (float): In [0, 1]. Defaults to 0.5.
        kernel_size (int): k of the window, odd. Defaults to 3.
        ignore_index (int, optional): Label of ignored pixels. Defaults to
            255.
        use_sigmoid (bool): Whether classes are not exclusive. Defaults to
            False.

    Returns:
        HardLabel: The smoothed target for region sums; its ``dense`` method
        gives the (N, C, *) label.

    Raises:
        ValueError: If a value is out of range, or ``label`` has another shape
            than a window needs.

    Examples:
        >>> label = torch.tensor([[[0, 0, 1, 255]]])
        >>> target = smooth_label(label, 2, 'uniform', epsilon=0.2)
        >>> target.dense(2, torch.float32)[0, :, 0]
        tensor([[0.9000, 0.9000, 0.1000, 0.0000],
                [0.1000, 0.1000, 0.9000, 0.0000]])
        >>> target = smooth_label(label, 2, 'neighbours', epsilon=0.5)
        >>> target.dense(2, torch.float32)[0, :, 0]
        tensor([[1.0000, 0.8333, 0.2500, 0.0000],
                [0.0000, 0.1667, 0.7500, 0.0000]])
    """
    options: dict[str, Any] = dict(mode=mode, epsilon=epsilon)
    if mode != 'uniform':
        options['kernel_size'] = kernel_size
    check_label_smoothing(options)
    if epsilon == 0:
        return HardLabel(label, ignore_index)
    num_classes = max(num_classes, 2)
    on = 1 - epsilon
    if mode == 'neighbours':
        window = label_windows(label, num_classes, kernel_size, ignore_index)
        return HardLabel(label, ignore_index, on=on, window=window)
    share = epsilon / (2 if use_sigmoid else num_classes)
    smoothed = None
    if mode == 'boundary':
        # in a byte or two a pixel, which is faster
        dtype = narrowest_dtype(0, num_classes - 1, ignore_index or 0)
        narrow = label.to(dtype)
        smoothed = boundary_mask(narrow, kernel_size, ignore_index)
    return HardLabel(
        label, ignore_index, on=on + share, off=share, smoothed=smoothed
    )


def mean_vote(
    masks: Tensor, num_classes: int, ignore_index: int | None = 255
) -> Tensor:
    """Average the votes of several annotators pixel by pixel.

    Equal, where no pixel is ignored, to::

        F.one_hot(masks, num_classes).float().mean(0)   # classes come last

    An annotator who ignored a pixel has no vote there.

    Args:
        masks (Tensor): (K, *) integers in [0, C) or ``ignore_index``, the
            labels of K annotators.
        num_classes (int): C.
        ignore_index (int, optional): Label of ignored pixels. Defaults to
            255.

    Returns:
        Tensor: (C, *) float32, all 0 where every annotator ignored a pixel.

    Examples:
        >>> masks = torch.tensor([[0, 1, 255], [0, 0, 255], [0, 255, 255]])
        >>> mean_vote(masks, 2)
        tensor([[1.0000, 0.5000, 0.0000],
                [0.0000, 0.5000, 0.0000]])
    """
    votes = masks.new_zeros(num_classes, *masks.shape[1:], dtype=torch.float32)
    for mask in masks.split(1):  # one by one: all at once take K times C maps
        vote = HardLabel(mask, ignore_index)
        votes += vote.dense(num_classes, votes.dtype).squeeze(0)
    voters = HardLabel(masks, ignore_index).counted().sum(0)
    return votes / voters.clamp_min(1)
