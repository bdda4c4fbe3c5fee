"""CutMix: a box of each image comes from another image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ['cutmix_boxes', 'paste']

# Shares of the image and ratios of height to width, as in the reference
# implementations of CutMix-Seg and UniMatch.
_AREA = 0.02, 0.4
_ASPECT = 0.3, 1 / 0.3


def cutmix_boxes(
    number: int,
    size: tuple[int, int],
    prob: float = 0.5,
    area: tuple[float, float] = _AREA,
    aspect: tuple[float, float] = _ASPECT,
) -> Tensor:
    """Draw a box for some of N images, from torch's default generator.

    The area and the logarithm of height over width are uniform. A side longer
    than the image's is cut to it, and the place is uniform among those where
    the box fits.

    Args:
        number (int): N.
        size (tuple[int, int]): Height and width in pixels.
        prob (float): Probability that an image has a box. Defaults to 0.5.
        area (tuple[float, float]): Least and largest share of the image.
            Defaults to (0.02, 0.4).
        aspect (tuple[float, float]): Least and largest height over width.
            Defaults to (0.3, 3.3333333333333335).

    Returns:
        Tensor: (N, H, W) bool on the CPU, True in the boxes.

    Raises:
        ValueError: If the probability is out of range.

    Examples:
        >>> _ = torch.manual_seed(0)
        >>> boxes = cutmix_boxes(1, (100, 100), prob=1, area=(0.1, 0.1))
        >>> boxes.float().mean()
        tensor(0.0969)
    """
    if not 0 <= prob <= 1:
        raise ValueError(f'Expected prob in [0, 1], but got {prob}')
    height, width = size
    chosen = torch.rand(number) < prob
    pixels = torch.empty(number).uniform_(*area) * height * width
    ratio = torch.empty(number).uniform_(*map(math.log, aspect)).exp()
    rows = _span((pixels * ratio).sqrt(), height)
    columns = _span((pixels / ratio).sqrt(), width)
    return chosen[:, None, None] & rows[:, :, None] & columns[:, None, :]


def _span(length: Tensor, size: int) -> Tensor:
    """Return (N, size) bools: a run of each length at a random place."""
    length = length.long().clamp(1, size)
    start = (torch.rand(len(length)) * (size - length + 1)).long()
    place = torch.arange(size)
    start, stop = start[:, None], (start + length)[:, None]
    return (start <= place) & (place < stop)


def paste(
    values: Tensor, boxes: Tensor, source: Tensor | None = None
) -> Tensor:
    """Paste boxes of other images into images.

    Args:
        values (Tensor): (N, H, W) or (N, C, H, W), images, labels or anything
            else that pixels have.
        boxes (Tensor): (N, H, W) bool.
        source (Tensor, optional): What the boxes are taken from, shaped like
            ``values``. None means the previous image of the batch, for the
            first one the last. Defaults to None.

    Returns:
        Tensor: The mixed values.

    Examples:
        >>> images = torch.tensor([[[1, 1]], [[2, 2]]])
        >>> paste(images, torch.tensor([[[False, True]], [[False, False]]]))
        tensor([[[1, 2]],
        <BLANKLINE>
                [[2, 2]]])
    """
    boxes = boxes.to(values.device)
    if values.ndim == 4:
        boxes = boxes.unsqueeze(1)
    if source is None:
        source = values.roll(1, 0)
    return torch.where(boxes, source, values)
