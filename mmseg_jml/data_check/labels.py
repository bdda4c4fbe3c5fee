"""Do images and labels fit together, and to the classes?"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from mmseg.datasets import BaseSegDataset

from ..datasets.conversion import shorten, show_progress

__all__ = ['Loaded', 'count_pixels', 'examine', 'label_problems']


class Loaded(NamedTuple):
    """What the loading transforms make of an image.

    Attributes:
        path (str): The label, or the image where there is no label.
        image_size (tuple[int, int] | None): Its height and width.
        label_size (tuple[int, int] | None): Those of the label.
        counts (np.ndarray | None): (256,), pixels of each label value.
        error (str): What went wrong.
    """

    path: str
    image_size: tuple[int, int] | None = None
    label_size: tuple[int, int] | None = None
    counts: np.ndarray | None = None
    error: str = ''


def examine(
    part: BaseSegDataset, indices: Sequence[int], name: str
) -> list[Loaded]:
    """Loads images and labels as the pipeline of the data set does.

    Files that do not exist are left out.

    Args:
        part (BaseSegDataset): A data set without wrapper.
        indices (Sequence[int]): The images.
        name (str): What to call it beside the progress bar.

    Returns:
        list[Loaded]: What was found in each.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        results = pool.map(lambda index: _load(part, index), indices)
        shown = show_progress(results, len(indices), f'Opening {name}')
        return [loaded for loaded in shown if loaded is not None]
    finally:  # an interrupt does not wait for the other images
        pool.shutdown(cancel_futures=True)


def _load(part: BaseSegDataset, index: int) -> Loaded | None:
    data = part.get_data_info(index)
    steps = [
        step
        for step in part.pipeline.transforms
        if type(step).__name__.startswith('Load')
    ]
    for step in steps:
        is_image = 'Image' in type(step).__name__
        path = data.get('img_path' if is_image else 'seg_map_path') or ''
        if not os.path.exists(path) and part.backend_args is None:
            return None
        try:
            data = step(data)
        except Exception as error:  # of any transform
            text = f'{type(error).__name__}: {error}'
            return Loaded(path, error=f'{path} ({text})')
    image, label = data.get('img'), data.get('gt_seg_map')
    size = None if image is None else image.shape[:2]
    if label is None:
        return Loaded(data['img_path'], size)
    counts = np.bincount(label.ravel(), minlength=256)
    return Loaded(data['seg_map_path'], size, label.shape, counts)


def label_problems(
    loaded: Sequence[Loaded], classes: int, ignored: int
) -> Iterator[str]:
    """Tells what does not fit.

    Args:
        loaded (Sequence[Loaded]): What :func:`examine` found.
        classes (int): Number of classes.
        ignored (int): The ignored label.

    Yields:
        str: A sentence for each thing that is wrong.
    """
    broken = [item.error for item in loaded if item.error]
    if broken:
        yield f'{len(broken)} files cannot be read: {shorten(broken, 3)}'
    unlike = [
        f'{item.path} is {item.label_size}, its image {item.image_size}'
        for item in loaded
        if item.counts is not None and item.label_size != item.image_size
    ]
    if unlike:
        yield (
            f'{len(unlike)} labels and images differ in height and width: '
            f'{shorten(unlike, 3)}'
        )
    strange = defaultdict(list)
    for item in loaded:
        if item.counts is not None:
            for value in np.flatnonzero(item.counts):
                if value >= classes and value != ignored:
                    strange[int(value)].append(item.path)
    if strange:
        found = [
            f'{value} in {len(paths)} labels ({paths[0]})'
            for value, paths in sorted(strange.items())
        ]
        hint = ' If 0 stands for no class, set reduce_zero_label=True.'
        yield (
            f'label values that are neither one of the {classes} classes, 0 '
            f'to {classes - 1}, nor {ignored}, which is ignored: '
            f'{shorten(found)}.{hint if list(strange) == [classes] else ""}'
        )


def count_pixels(
    loaded: Sequence[Loaded], classes: int, ignored: int
) -> np.ndarray:
    """Counts the pixels of each class.

    Args:
        loaded (Sequence[Loaded]): What :func:`examine` found.
        classes (int): Number of classes C.
        ignored (int): The ignored label.

    Returns:
        np.ndarray: (C + 1,) int64; the last one counts the ignored label.
    """
    counts = np.zeros(max(256, ignored + 1), np.int64)
    for item in loaded:
        if item.counts is not None:
            counts[: len(item.counts)] += item.counts
    return np.append(counts[:classes], counts[ignored])
