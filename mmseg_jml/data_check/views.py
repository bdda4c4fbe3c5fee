"""Send some images through the pipeline, and look at the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmseg.datasets import BaseSegDataset

from ..datasets.numbered_batches import seed_generators
from ..random_state import random_state_kept
from ..visualization import View
from .findings import Findings

__all__ = ['check_crop', 'check_views', 'spread']

NUM_VIEWS = 8


def spread(total: int, most: int | None) -> list[int]:
    """Choose indices that are spread evenly over a data set.

    Examples:
        >>> spread(10, 4)
        [0, 3, 6, 9]
    """
    number = total if most is None else min(most, total)
    return np.linspace(0, total - 1, number).round().astype(int).tolist()


def _take_view(dataset: Sequence, index: int) -> View:
    """Send an image through the pipeline, with the same seed at each call."""
    with random_state_kept():
        seed_generators(0, index)
        sample = dataset[index]
    image, data = sample['inputs'], sample['data_samples']
    name = Path(data.get('img_path', str(index))).name
    # LoadImageFromFile gives BGR; fewer than three channels are drawn in grey
    image = image[[2, 1, 0] if len(image) >= 3 else [0, 0, 0]]
    if image.dtype != torch.uint8:
        image = image.float() - image.min()
        image = (255 * image / image.max().clamp(min=1e-12)).to(torch.uint8)
    image = image.permute(1, 2, 0).numpy()
    if 'gt_sem_seg' not in data:
        return View(name, image)
    label = data.gt_sem_seg.data[0].numpy()
    # validation does not resize the label with the image
    rows, columns = (
        np.arange(size) * wanted // size
        for size, wanted in zip(image.shape, label.shape)
    )
    return View(name, image, label[rows][:, columns])


def check_views(
    findings: Findings, dataset: Sequence, wrong: Mapping[int, View]
) -> None:
    """Send a few images through the pipeline, and add views of them.

    Views of some ``wrong`` images, by index, come first. Where the pipeline
    fails on one of them, it is shown without a picture.
    """
    indices = spread(len(dataset), NUM_VIEWS)
    views: dict[str, View] = {}
    failures: dict[int, str] = {}
    for index in [*list(wrong)[: NUM_VIEWS // 2], *indices]:
        view = wrong.get(index, View(''))
        try:
            problem = view.problem
            view = _take_view(dataset, index)._replace(problem=problem)
        except Exception as error:  # of any transform
            failures[index] = f'{type(error).__name__}: {error}'
        if view.name:
            views.setdefault(view.name, view)
    findings.views = list(views.values())
    failed = [failures[index] for index in indices if index in failures]
    if failed:
        findings.problems.append(
            f'its pipeline fails on {len(failed)} of {len(indices)} images: '
            f'{failed[0]}'
        )


def check_crop(findings: Findings, parts: Sequence[BaseSegDataset]) -> None:
    """Look for images that are smaller than the crop."""
    try:
        with random_state_kept():
            found = [pair for part in parts for pair in _crops(part)]
    except Exception:  # of any transform; check_views reports it
        return
    smaller = [
        size
        for (height, width), size in found
        if size[0] < height or size[1] < width
    ]
    if smaller:
        crop, _ = found[-1]
        always = len(smaller) == len(found)
        (findings.problems if always else findings.notes).append(
            f'the crop of {crop} is larger than {len(smaller)} of '
            f'{len(found)} images when they come to it, such as '
            f'{min(smaller)}; the rest is padding'
        )


def _crops(part: BaseSegDataset) -> Iterator[tuple[tuple, tuple]]:
    """Yield the size of the crop and that of an image that comes to it."""
    steps = part.pipeline.transforms
    kinds = [type(step).__name__ for step in steps]
    if 'RandomCrop' not in kinds:
        return
    place = kinds.index('RandomCrop')
    for index in spread(len(part), NUM_VIEWS):
        seed_generators(0, index)
        data = part.get_data_info(index)
        for step in steps[:place]:
            data = step(data)
        yield tuple(steps[place].crop_size), data['img'].shape[:2]
