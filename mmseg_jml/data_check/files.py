"""Check that the files exist that a data set lists."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

from mmengine.fileio import exists, isdir, list_dir_or_file
from mmseg.datasets import BaseSegDataset

from ..conversion.progress import shorten

__all__ = ['missing_files']


def missing_files(part: BaseSegDataset, with_labels: bool) -> Iterator[str]:
    """Compare what a data set lists with what is on the disk."""
    listed = [part.get_data_info(i) for i in range(len(part))]
    images = Counter(info['img_path'] for info in listed)
    lost = [path for path in images if not _exists(part, path)]
    twice = [path for path, number in images.items() if number > 1]
    if lost:
        yield f'{len(lost)} images do not exist: {shorten(lost)}'
    if twice:
        yield f'{len(twice)} images are listed repeatedly: {shorten(twice)}'
    if not with_labels:
        return
    labels = [info.get('seg_map_path') for info in listed]
    if None in labels:
        yield 'data_prefix.seg_map_path is missing, so no image has a label'
        return
    lost = [path for path in labels if not _exists(part, path)]
    if lost:
        yield f'{len(lost)} images have no label: {shorten(lost)}'
    lonely = list(_labels_without_image(part))
    if lonely:
        yield f'{len(lonely)} labels have no image: {shorten(lonely)}'


def _exists(part: BaseSegDataset, path: str) -> bool:
    return exists(path, backend_args=part.backend_args)


def _labels_without_image(part: BaseSegDataset) -> Iterator[str]:
    images, labels = (
        part.data_prefix[key] for key in ('img_path', 'seg_map_path')
    )
    if not isdir(labels, backend_args=part.backend_args):
        return
    for file in list_dir_or_file(
        labels,
        list_dir=False,
        suffix=part.seg_map_suffix,
        recursive=True,
        backend_args=part.backend_args,
    ):
        name = file[: -len(part.seg_map_suffix)]
        if not _exists(part, os.path.join(images, name + part.img_suffix)):
            yield os.path.join(labels, file)
