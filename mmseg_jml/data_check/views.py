"""What the pipeline makes of some images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmseg.datasets import BaseSegDataset

from ..datasets.numbered_batches import seed_generators
from ..random_state import random_state_kept
from .findings import View

__all__ = ['crop_larger_than_images', 'spread', 'take_view']


def spread(total: int, most: int | None) -> list[int]:
    """Chooses images from all over a data set.

    Args:
        total (int): Images in it.
        most (int | None): How many to choose. None: all.

    Returns:
        list[int]: Their indices.

    Example:
        >>> spread(10, 4)
        [0, 3, 6, 9]
    """
    number = total if most is None else min(most, total)
    return np.linspace(0, total - 1, number).round().astype(int).tolist()


def take_view(dataset: Sequence, index: int) -> View:
    """Sends an image through the whole pipeline.

    Args:
        dataset (Sequence): The data set, in its wrappers.
        index (int): The image.

    Returns:
        View: What comes out, the same at every call.

    Raises:
        Exception: What a transform raises.
    """
    with random_state_kept():
        seed_generators(0, index)
        return _view(dataset[index])


def _view(sample: dict) -> View:
    image = sample['inputs']
    # as LoadImageFromFile orders channels; fewer than three are drawn in grey
    image = image[[2, 1, 0] if len(image) >= 3 else [0, 0, 0]]
    if image.dtype != torch.uint8:
        image = image.float() - image.min()
        image = (255 * image / image.max().clamp(min=1e-12)).to(torch.uint8)
    image = image.permute(1, 2, 0).numpy()
    if 'gt_sem_seg' not in sample['data_samples']:
        return View(image, None)
    label = sample['data_samples'].gt_sem_seg.data[0].numpy()
    # validation leaves the label as large as it is
    rows, columns = (
        np.arange(size) * wanted // size
        for size, wanted in zip(image.shape, label.shape)
    )
    return View(image, label[rows][:, columns])


def crop_larger_than_images(
    part: BaseSegDataset, indices: Sequence[int]
) -> tuple[tuple[int, int], list[tuple[int, int]]] | None:
    """Finds images that are smaller than the crop when they come to it.

    Args:
        part (BaseSegDataset): A data set without wrapper.
        indices (Sequence[int]): The images to look at.

    Returns:
        tuple | None: The size of the crop, and the heights and widths of the
        images that are smaller. None where nothing is cropped.

    Raises:
        Exception: What a transform raises.
    """
    steps = part.pipeline.transforms
    kinds = [type(step).__name__ for step in steps]
    if 'RandomCrop' not in kinds:
        return None
    place = kinds.index('RandomCrop')
    height, width = steps[place].crop_size
    smaller = []
    with random_state_kept():
        for index in indices:
            seed_generators(0, index)
            data = part.get_data_info(index)
            for step in steps[:place]:
                data = step(data)
            size = data['img'].shape[:2]
            if size[0] < height or size[1] < width:
                smaller.append(size)
    return (height, width), smaller
