"""Draw accuracy against confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..functional import bin_means, expected_calibration_error
from .drawing import new_figure, to_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ['reliability_diagram']

LINE, GAP, MASS = '#4477aa', '#ee6677', '#777777'


def reliability_diagram(
    bins: Sequence[Tensor], titles: Sequence[str] | None = None
) -> np.ndarray:
    """Draw the accuracy in each bin over its mean confidence.

    A calibrated model lies on the diagonal, an overconfident one below it.
    The strip below the diagram is the histogram of confidence: the share of
    pixels in each bin.

    Args:
        bins (Sequence[Tensor]): For each diagram (3, B): number of pixels, sum
            of confidences and number of hits in each bin.
        titles (Sequence[str], optional): One for each diagram. Defaults to
            None.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.

    Examples:
        >>> import torch
        >>> bins = torch.tensor([[2.0, 8.0], [0.6, 7.2], [1.0, 6.0]])
        >>> reliability_diagram([bins], ['all classes']).shape
        (400, 350, 3)
    """
    columns = len(bins) if len(bins) < 5 else math.ceil(len(bins) ** 0.5)
    rows = math.ceil(len(bins) / columns)
    figure = new_figure(3.5 * columns, 4 * rows)
    parts = figure.subfigures(rows, columns, squeeze=False).flatten()
    for part, one, title in zip(parts, bins, titles or [''] * len(bins)):
        upper, lower = part.subplots(2, sharex=True, height_ratios=(4, 1))
        upper.set_title(title)
        _draw(upper, lower, one.double().cpu())
    return to_array(figure)


def _draw(upper: Axes, lower: Axes, bins: Tensor) -> None:
    error = 100 * expected_calibration_error(bins)
    bins = bins[:, bins[0] > 0]
    count, (where, share) = bins[0], bin_means(bins)
    upper.plot((0, 1), (0, 1), '--', color=MASS, linewidth=1)
    upper.vlines(where, where, share, color=GAP, linewidth=5, alpha=0.5)
    upper.plot(where, share, 'o-', color=LINE, markersize=4)
    upper.text(0.03, 0.92, f'ECE {error:.2f} %')
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel='accuracy')
    lower.vlines(where, 0, count / count.sum(), color=MASS, linewidth=5)
    lower.set(ylim=(0, 1), xlabel='confidence', ylabel='pixels')
