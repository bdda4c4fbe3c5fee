"""The data sets inside a config entry, and the files that they read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.fileio import exists
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

__all__ = [
    'build_dataset',
    'image_names',
    'missing_paths',
    'parts_of',
    'source_entries',
]


def build_dataset(cfg: dict) -> object:
    """Build the data set of a data loader.

    Raises:
        ValueError: If it cannot be built, or has no image. The message names
            missing paths, or else the error.
    """
    try:
        dataset = DATASETS.build(dict(cfg))
    except Exception as error:
        # some data sets only assert that their files are there
        reasons = [*missing_paths(cfg)] or [*_empty_sources(cfg)]
        reasons = reasons or [f'{type(error).__name__}: {error}']
        raise ValueError('; '.join(reasons)) from error
    if not len(dataset):
        raise ValueError('; '.join(_empty_sources(cfg)))
    return dataset


def _empty_sources(cfg: dict) -> Iterator[str]:
    """Find data sets without images, most of which mmengine cannot build."""
    for entry in source_entries(cfg):
        try:
            part = DATASETS.build(dict(entry, lazy_init=True, pipeline=[]))
            images = part.load_data_list()
        except Exception:  # the error that the caller reports
            continue
        if not images and part.ann_file:
            yield f'ann_file of {entry["type"]} is empty: {part.ann_file}'
        elif not images:
            yield (
                f'{part.data_prefix["img_path"]} holds no image whose name '
                f'ends in {part.img_suffix} (img_suffix of {entry["type"]})'
            )


def source_entries(cfg: dict) -> Iterator[dict]:
    """Find the entries inside wrappers such as ConcatDataset."""
    if cfg.get('datasets'):
        for entry in cfg['datasets']:
            yield from source_entries(entry)
    elif cfg.get('dataset'):
        yield from source_entries(cfg['dataset'])
    else:
        yield cfg


def missing_paths(cfg: dict) -> Iterator[str]:
    """Find files and folders of an entry that do not exist."""
    for entry in source_entries(cfg):
        root = entry.get('data_root') or ''
        paths = dict(ann_file=entry.get('ann_file'))
        for key, prefix in (entry.get('data_prefix') or {}).items():
            paths[f'data_prefix.{key}'] = prefix
        paths = {
            k: os.path.join(root, path) for k, path in paths.items() if path
        }
        for key, path in dict(data_root=root, **paths).items():
            if path and not exists(path, entry.get('backend_args')):
                yield f'{key} of {entry.get("type")} does not exist: {path}'


def parts_of(dataset: object) -> list[BaseSegDataset]:
    """Find the data sets inside wrappers such as ConcatDataset.

    Raises:
        TypeError: If one is not a ``BaseSegDataset``.
    """
    if hasattr(dataset, 'datasets'):
        return [part for inner in dataset.datasets for part in parts_of(inner)]
    if hasattr(dataset, 'dataset'):
        return parts_of(dataset.dataset)
    if not isinstance(dataset, BaseSegDataset):
        raise TypeError(
            'Expected a data set of images and label files (BaseSegDataset) '
            f'but got {type(dataset).__name__}.'
        )
    return [dataset]


def image_names(part: BaseSegDataset) -> list[str]:
    """Return the name of each image in `ann_file`.

    Returns:
        list[str]: Paths below ``data_prefix.img_path``, without the suffix.
    """
    folder = part.data_prefix['img_path'] or '.'
    paths = (part.get_data_info(i)['img_path'] for i in range(len(part)))
    names = (Path(os.path.relpath(path, folder)).as_posix() for path in paths)
    return [name[: -len(part.img_suffix)] for name in names]
