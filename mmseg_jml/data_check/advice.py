"""Find the label smoothing and the level of the index that fit labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from ..functional import label_mass, smooth_label, swamped_classes

__all__ = ['Advice', 'advise', 'boundary_sums']

# A data set with fewer boundary pixels has nothing to smooth.
_LEAST_BOUNDARY = 0.001
# A class is thin if this share of it is boundary: lines of one or two pixels.
_THIN = 0.8
_EPSILONS = (0.5, 0.2, 0.1)
# Sizes are compared for classes that are in at least 10 images. Small objects
# of a class are hidden at data set level if the half of its images in which it
# is smallest holds less than 10 % of its pixels. A class is rare if it is in
# fewer than 5 % of the images.
_LEAST_IMAGES, _HIDDEN, _RARE = 10, 0.1, 0.05


class Advice(NamedTuple):
    """What fits the labels of a data set.

    Attributes:
        smoothing (Mapping | None): ``label_smoothing`` of the losses if
            annotators were unsure of boundaries; None for no smoothing.
        level (str): The level at which to measure the index: 'D', 'I' or 'C'.
        sentences (list[str]): Both in words, with the measured numbers.

    Examples:
        >>> Advice(smoothing=None, level='D', sentences=[]).level
        'D'
    """

    smoothing: Mapping | None
    level: str
    sentences: list[str]


def boundary_sums(
    label: np.ndarray, num_classes: int, ignore_index: int
) -> np.ndarray:
    """Count the pixels that boundary smoothing would change in a label.

    Args:
        label (np.ndarray): (H, W) integers.
        num_classes (int): Number of classes C.
        ignore_index (int): The ignored label.

    Returns:
        np.ndarray: (3, C) float32, by class: pixels at a boundary; label, in
        pixels, that the class would keep there, and label that it would get
        from other classes, both for ``epsilon=1``.

    Examples:
        >>> label = np.zeros((8, 8), np.uint8)
        >>> label[:, 4:] = 1
        >>> boundary_sums(label, num_classes=2, ignore_index=255)[0]
        array([8., 8.], dtype=float32)
    """
    target = smooth_label(
        torch.from_numpy(label).long()[None],
        num_classes,
        'boundary',
        epsilon=1.0,
        ignore_index=ignore_index,
    )
    at_boundary = label[np.asarray(target.smoothed)[0]]
    count = np.bincount(at_boundary, minlength=num_classes)[:num_classes]
    mass = label_mass(target, num_classes).numpy()
    return np.concatenate([count[None], mass]).astype(np.float32)


def advise(pixels: np.ndarray, sums: np.ndarray) -> Advice:
    """Choose the smoothing and the level that fit a data set.

    The rules are those of docs/choosing_options.md.

    Args:
        pixels (np.ndarray): (N, C), pixels of each class in each image.
        sums (np.ndarray): (3, C), the sum of :func:`boundary_sums` over the
            images.

    Returns:
        Advice: The advice.

    Examples:
        >>> label = np.zeros((64, 64), np.uint8)
        >>> label[:, 32:] = 1
        >>> advice = advise(
        ...     np.bincount(label.ravel())[None],
        ...     boundary_sums(label, num_classes=2, ignore_index=255))
        >>> advice.smoothing, advice.level
        ({'mode': 'boundary', 'epsilon': 0.5}, 'D')
    """
    smoothing, of_smoothing = _smoothing(pixels.sum(0), sums)
    level, of_level = _level(pixels)
    return Advice(smoothing, level, [of_smoothing, of_level])


def _smoothing(
    pixels: np.ndarray, sums: np.ndarray
) -> tuple[dict | None, str]:
    boundary, kept, foreign = sums.astype(np.float64)
    share = boundary.sum() / max(pixels.sum(), 1)
    fact = f'label smoothing: {share:.1%} of labelled pixels lie at a boundary'
    if share < _LEAST_BOUNDARY:
        return None, f'{fact}, too few for it to matter: take none.'
    # a smoothed label is (1 - epsilon) of the label and epsilon of a share
    swamped = {
        epsilon: swamped_classes(
            ((1 - epsilon) * pixels + epsilon * kept).tolist(),
            (epsilon * foreign).tolist(),
        )
        for epsilon in _EPSILONS
    }
    first = _EPSILONS[0]
    thin = np.flatnonzero((pixels > 0) & (boundary >= _THIN * pixels))
    if swamped[first] is None and not len(thin):
        return dict(mode='boundary', epsilon=first), (
            f'{fact}. Where annotators are unsure of them, '
            f"dict(mode='boundary', epsilon={first}) fits: every class keeps "
            'more label than it gets from boundaries of others. Where they '
            'are sure, take none.'
        )
    small = [epsilon for epsilon in _EPSILONS if swamped[epsilon] is None]
    reasons = [f'With epsilon={first} at boundaries: {swamped[first]}']
    if swamped[first] is None:
        reasons = [f'Classes {thin.tolist()} are hardly more than boundary.']
    elif small:
        reasons.append(f'Up to epsilon={small[0]} none of them would.')
    return dict(mode='neighbours', epsilon=first), (
        f"{fact}. Take none or dict(mode='neighbours', epsilon={first}). "
        f'{" ".join(reasons)}'
    )


def _level(pixels: np.ndarray) -> tuple[str, str]:
    images = (pixels > 0).sum(0)
    shares = []
    for column in pixels.T:
        sizes = np.sort(column[column > 0])
        if len(sizes) >= _LEAST_IMAGES:
            shares.append(sizes[: len(sizes) // 2].sum() / sizes.sum())
    if not shares:
        return 'D', (
            f'level: D, the default. No class is in {_LEAST_IMAGES} images, '
            'so that nothing can be said of their sizes.'
        )
    share = float(np.median(shares))
    fact = (
        'the half of its images in which a class is smallest has '
        f'{share:.0%} of its pixels (median of the classes)'
    )
    if share >= _HIDDEN:
        return 'D', f'level: D, the default: {fact}, so that none is hidden.'
    rare = (images > 0) & (images < _RARE * len(pixels))
    level = 'C' if rare.any() else 'I'
    why = (
        f'{rare.sum()} classes are in fewer than {_RARE:.0%} of the images, '
        'and a mean over images hardly sees them'
        if rare.any()
        else 'every class is in many images'
    )
    return level, (
        f'level: {level}, unless you are judged by mIoU: {fact}, which mIoU '
        f'hardly sees; {why}. Take mIoUD=0.0, mIoUI=0.5, mIoUC=0.5, and '
        f'judge by mIoU{level} of FineGrainedIoUMetric.'
    )
