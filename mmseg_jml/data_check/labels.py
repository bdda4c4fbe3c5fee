"""Check that labels fit their images and the classes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import NamedTuple

import numpy as np
from mmseg.datasets import BaseSegDataset

from ..conversion.progress import shorten, show_progress
from .advice import boundary_sums

__all__ = ['Loaded', 'examine', 'label_problems', 'what_is_wrong']


class Loaded(NamedTuple):
    """What is known of an image and its label once they are loaded.

    Attributes:
        image (str): Path of the image.
        path (str): Path of the label, or of the image if it has none.
        counts (np.ndarray | None): (256,) or more, pixels of each label value.
        boundary (np.ndarray | None): (3, C), see :func:`boundary_sums`.
        sizes (tuple | None): Those of label and image, if they differ.
        error (str): Why it could not be loaded; empty if it could.
    """

    image: str
    path: str
    counts: np.ndarray | None = None
    boundary: np.ndarray | None = None
    sizes: tuple | None = None
    error: str = ''


def examine(
    part: BaseSegDataset, indices: Sequence[int], name: str
) -> list[Loaded]:
    """Load images and labels by the loading transforms of the pipeline.

    Files that do not exist are left out.
    """
    # an interrupt does not wait for the other images
    with ThreadPool() as pool:
        results = pool.imap(partial(_load, part), indices)
        shown = show_progress(results, len(indices), f'Opening {name}')
        return [loaded for loaded in shown if loaded is not None]


def _load(part: BaseSegDataset, index: int) -> Loaded | None:
    data = part.get_data_info(index)
    image_path = data['img_path']
    for step in part.pipeline.transforms:
        kind = type(step).__name__
        if not kind.startswith('Load'):
            continue
        key = 'img_path' if 'Image' in kind else 'seg_map_path'
        path = data.get(key) or ''
        if not os.path.exists(path) and part.backend_args is None:
            return None
        try:
            data = step(data)
        except Exception as error:  # of any transform
            text = f'{path} ({type(error).__name__}: {error})'
            return Loaded(image_path, path, error=text)
    image, label = data.get('img'), data.get('gt_seg_map')
    if label is None:
        return Loaded(image_path, image_path)
    classes = len(part.metainfo.get('classes') or ())
    sizes = label.shape, None if image is None else image.shape[:2]
    return Loaded(
        image_path,
        data['seg_map_path'],
        np.bincount(label.ravel(), minlength=256),
        boundary_sums(label, classes, part.ignore_index),
        sizes if sizes[0] != sizes[1] else None,
    )


def _strange_values(
    counts: np.ndarray | None, classes: int, ignored: int
) -> list[int]:
    values = [] if counts is None else np.flatnonzero(counts).tolist()
    return [v for v in values if v >= classes and v != ignored]


def what_is_wrong(item: Loaded, classes: int, ignored: int) -> str:
    """Say in a few words what is wrong with one image; '' if nothing is."""
    if item.error:
        return 'cannot be read'
    if item.sizes:
        return 'label is {}, image {}'.format(*item.sizes)
    strange = _strange_values(item.counts, classes, ignored)
    return f'label values {shorten(strange, 3)}' if strange else ''


def label_problems(
    loaded: Sequence[Loaded], classes: int, ignored: int
) -> Iterator[str]:
    """Say which labels do not fit their image or the classes."""
    broken = [item.error for item in loaded if item.error]
    if broken:
        yield f'{len(broken)} files cannot be read: {shorten(broken, 3)}'
    unlike = [
        '{} is {}, its image {}'.format(item.path, *item.sizes)
        for item in loaded
        if item.sizes
    ]
    if unlike:
        yield (
            f'{len(unlike)} labels and images differ in height and width: '
            f'{shorten(unlike, 3)}'
        )
    strange = defaultdict(list)
    for item in loaded:
        for value in _strange_values(item.counts, classes, ignored):
            strange[value].append(item.path)
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
