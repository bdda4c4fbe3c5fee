"""Draw soft labels beside their images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..normalisation import Normalisation
from .drawing import new_figure, to_array

__all__ = ['SoftLabelPicture', 'draw_soft_labels', 'restore_image']

IGNORED = (255, 255, 255)


class SoftLabelPicture(NamedTuple):
    """An image with its label and its soft label.

    Attributes:
        image (np.ndarray): (H, W, 3) uint8, RGB.
        label (Tensor): (H, W) integers; a value that is no class is ignored.
        soft (Tensor): (C, H, W), the soft label.
        weight (Tensor): (H, W), 0 where the soft label does not count.

    Examples:
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> label = torch.zeros(4, 6, dtype=torch.long)
        >>> soft = torch.full((2, 4, 6), 0.5)
        >>> picture = SoftLabelPicture(image, label, soft, weight=label + 1)
        >>> picture.soft[:, 0, 0].tolist()
        [0.5, 0.5]
    """

    image: np.ndarray
    label: Tensor
    soft: Tensor
    weight: Tensor


def draw_soft_labels(
    pictures: Sequence[SoftLabelPicture],
    palette: Sequence[Sequence[int]] | None = None,
) -> np.ndarray:
    """Draw a row for each image.

    The columns are the image, its label, the most probable class of the soft
    label, and the probability of that class, dark where it is low. Pixels
    that do not count are white.

    Args:
        pictures (Sequence[SoftLabelPicture]): One or more.
        palette (Sequence[Sequence[int]], optional): RGB of each class, 0 to
            255. Defaults to None, which stands for colours of matplotlib.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.

    Examples:
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> label = torch.zeros(4, 6, dtype=torch.long)
        >>> soft = torch.full((2, 4, 6), 0.5)
        >>> picture = SoftLabelPicture(image, label, soft, label + 1)
        >>> draw_soft_labels([picture], [[255, 0, 0], [0, 0, 255]]).shape
        (300, 1200, 3)
    """
    figure = new_figure(12, 3 * len(pictures))
    axes = figure.subplots(len(pictures), 4, squeeze=False)
    titles = ('image', 'label', 'soft label', 'its confidence')
    for axis, title in zip(axes[0], titles):
        axis.set_title(title)
    for row, picture in zip(axes, pictures):
        counted = picture.weight.cpu() > 0
        confidence, classes = picture.soft.float().cpu().max(0)
        if palette is None:
            palette = _default_palette(len(picture.soft))
        row[0].imshow(picture.image)
        row[1].imshow(_paint(picture.label.cpu(), palette))
        row[2].imshow(_paint(classes.where(counted, -1), palette))
        shades = row[3].imshow(
            np.ma.masked_array(confidence.numpy(), ~counted.numpy()),
            vmin=0,
            vmax=1,
            cmap='magma',
        )
        figure.colorbar(shades, ax=row[3])
        for axis in row:
            axis.set_axis_off()
    return to_array(figure)


def _default_palette(classes: int) -> list[list[int]]:
    from matplotlib import colormaps

    colours = colormaps['tab20'](np.arange(classes) % 20)
    return (255 * colours[:, :3]).astype(np.uint8).tolist()


def _paint(label: Tensor, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Colour each class; a value that is no class is white."""
    colours = np.array([*palette, IGNORED], dtype=np.uint8)
    known = (label >= 0) & (label < len(palette))
    return colours[label.where(known, len(palette)).long().numpy()]


def restore_image(inputs: Tensor, preprocessor: nn.Module) -> np.ndarray:
    """Undo the normalisation of an image by mmseg's data preprocessor.

    Args:
        inputs (Tensor): (3, H, W), as the segmentor sees it.
        preprocessor (nn.Module): The segmentor's ``data_preprocessor``.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.

    Examples:
        >>> from mmseg.models import SegDataPreProcessor
        >>> preprocessor = SegDataPreProcessor(
        ...     mean=[10.0] * 3, std=[2.0] * 3, bgr_to_rgb=True
        ... )
        >>> restore_image(torch.ones(3, 1, 1), preprocessor)  # 10 + 2
        array([[[12, 12, 12]]], dtype=uint8)
    """
    image = Normalisation.of(preprocessor).restore(inputs.detach())
    image = image.round().clamp(0, 255).to(torch.uint8)
    return image.permute(1, 2, 0).cpu().numpy()
