"""The data sets in an entry of a config, and the files that they read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

__all__ = ['build_dataset', 'image_names', 'missing_paths', 'parts_of']


def build_dataset(cfg: Mapping) -> object:
    """Builds the data set of a data loader.

    Args:
        cfg (Mapping): The entry, wrappers included.

    Returns:
        object: The data set.

    Raises:
        ValueError: If it cannot be built, with the paths that are missing, or
            else with what went wrong.
    """
    try:
        return DATASETS.build(dict(cfg))
    except Exception as error:
        # some data sets only assert that their files are there
        missing = list(missing_paths(cfg))
        reasons = missing or [f'{type(error).__name__}: {error}']
        raise ValueError('; '.join(reasons)) from error


def missing_paths(cfg: Mapping) -> Iterator[str]:
    """Finds out which files and folders of an entry do not exist.

    Args:
        cfg (Mapping): The entry, wrappers included.

    Yields:
        str: A sentence for each.
    """
    inner = list(cfg.get('datasets') or ())
    inner += [cfg['dataset']] if isinstance(cfg.get('dataset'), dict) else []
    for entry in inner:
        yield from missing_paths(entry)
    root = cfg.get('data_root') or ''
    paths = dict(data_root=root, ann_file=cfg.get('ann_file'))
    for key, prefix in (cfg.get('data_prefix') or {}).items():
        paths[f'data_prefix.{key}'] = prefix
    for key, path in paths.items():
        full = root if key == 'data_root' else os.path.join(root, path or '')
        if path and not Path(full).exists():
            yield f'{key} of {cfg.get("type")} does not exist: {full}'


def parts_of(dataset: object) -> list[BaseSegDataset]:
    """Takes the wrappers off a data set.

    Args:
        dataset (object): A data set of mmseg, or a wrapper of one or several.

    Returns:
        list[BaseSegDataset]: The data sets that read files.

    Raises:
        TypeError: If one is not of mmseg's kind.
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
    """Returns what a line of `ann_file` calls each image.

    Args:
        part (BaseSegDataset): A data set without wrapper.

    Returns:
        list[str]: Paths below ``data_prefix.img_path``, without the suffix.
    """
    folder = part.data_prefix['img_path'] or '.'
    paths = (part.get_data_info(i)['img_path'] for i in range(len(part)))
    names = (Path(os.path.relpath(path, folder)).as_posix() for path in paths)
    return [name[: -len(part.img_suffix)] for name in names]
