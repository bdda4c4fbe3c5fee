"""Check the data sets of a config, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset

from ..conversion.progress import shorten
from ..datasets.parts import build_dataset, missing_paths, parts_of
from ..visualization import View
from .advice import advise
from .entries import (
    UNLABELED,
    data_entries,
    entry_problems,
    head_problems,
    ignored_labels,
)
from .files import missing_files
from .findings import Findings
from .labels import Loaded, examine, label_problems, what_is_wrong
from .views import check_crop, check_views, spread

__all__ = ['check_config', 'find_obstacles']


def find_obstacles(cfg: Config) -> list[str]:
    """Look, within seconds, for what keeps a config from training well.

    The names and options of losses and hooks are compared with the registered
    ones. Data sets are built, and a few of their images go through the
    pipeline. Data sets that are not a ``BaseSegDataset`` are skipped.

    Args:
        cfg (Config): The config.

    Returns:
        list[str]: A sentence on each obstacle.

    Examples:
        >>> dataset = dict(type='BaseSegDataset', data_root='nowhere')
        >>> cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
        >>> (sentence,) = find_obstacles(cfg)
        >>> 'data_root of BaseSegDataset does not exist: nowhere' in sentence
        True
    """
    problems, model = [*entry_problems(cfg)], cfg.get('model') or {}
    for findings, dataset, parts in _opened(cfg):
        if dataset is not None and not parts:
            continue
        if not findings.problems:
            check_views(findings, dataset, {})
        if parts and findings.name != UNLABELED:
            findings.problems += _label_obstacles(findings, parts[0], model)
        problems += [f'{findings.name}: {one}' for one in findings.problems]
    return problems


def _opened(cfg: Config) -> Iterator[tuple[Findings, Any, list]]:
    """Build the data sets of a config, and look for missing paths.

    A data set that cannot be built is None; one that is no ``BaseSegDataset``
    has no parts.
    """
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    for name, entry in data_entries(cfg):
        findings, dataset, parts = Findings(name), None, []
        try:
            dataset = build_dataset(entry)
            parts = parts_of(dataset)
        except (TypeError, ValueError) as error:
            findings.problems.append(f'it cannot be built: {error}')
        else:
            findings.problems += (
                problem
                for problem in missing_paths(entry)
                if name != UNLABELED or 'seg_map_path' not in problem
            )
        yield findings, dataset, parts


def _label_obstacles(
    findings: Findings, part: BaseSegDataset, model: Mapping
) -> list[str]:
    """Compare labels in the views, and heads, with the classes."""
    classes = len(part.metainfo.get('classes') or ())
    if not classes:
        return []
    ignored = [*ignored_labels(model), part.ignore_index]
    loaded = []
    for view in findings.views:
        if view.label is not None:
            counted = view.label[~np.isin(view.label, ignored)]
            counts = np.bincount(counted)
            loaded.append(Loaded(view.name, view.name, counts=counts))
    return [
        *head_problems(model, classes),
        *label_problems(loaded, classes, part.ignore_index),
    ]


def check_config(cfg: Config, limit: int | None = None) -> list[Findings]:
    """Open the data sets of a config and look for what is wrong.

    It checks those for training and validation, and the unlabelled one of a
    ``PseudoLabelHook``.

    Args:
        cfg (Config): The config.
        limit (int, optional): How many images to open in each data set.
            Defaults to None, which stands for all.

    Returns:
        list[Findings]: What was found in each data set.

    Raises:
        ValueError: If the config has no data set.

    Examples:
        >>> dataset = dict(type='BaseSegDataset', data_root='nowhere')
        >>> cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
        >>> [(found.name, found.images) for found in check_config(cfg)]
        [('train', 0)]
    """
    found, images = {}, {}
    for findings, dataset, parts in _opened(cfg):
        name = findings.name
        found[name] = findings
        if not parts:
            continue
        told = _check_parts(findings, parts, limit)
        paths = [
            part.get_data_info(i)['img_path']
            for part in parts
            for i in range(len(part))
        ]
        images[name] = set(paths)
        wrong = {
            i: View(Path(path).name, problem=told[path])
            for i, path in enumerate(paths)
            if told.get(path)
        }
        check_views(findings, dataset, wrong)
        check_crop(findings, parts)
        findings.problems += head_problems(
            cfg.get('model') or {}, len(findings.classes)
        )
    if not found:
        raise ValueError(
            'Expected train_dataloader or val_dataloader but got neither.'
        )
    both = images.get('train', set()) & images.get('val', set())
    if both:
        found['val'].notes.append(
            f'{len(both)} images are trained on too: {shorten(sorted(both))}'
        )
    return list(found.values())


def _check_parts(
    findings: Findings, parts: list, limit: int | None
) -> dict[str, str]:
    """Check files, labels and classes.

    Returns:
        dict[str, str]: What is wrong with each image, by its path; '' if
        nothing is.
    """
    with_labels = findings.name != UNLABELED
    meta, ignored = parts[0].metainfo, parts[0].ignore_index
    classes = findings.classes = meta.get('classes') or ()
    findings.palette = meta.get('palette') or ()
    loaded = []
    for part in parts:
        findings.images += len(part)
        findings.problems += missing_files(part, with_labels)
        loaded += examine(part, spread(len(part), limit), findings.name)
    findings.examined = len(loaded)
    if not classes:
        findings.problems.append('it has no classes: set metainfo.classes')
        return {}
    findings.problems += label_problems(loaded, len(classes), ignored)
    _count_pixels(findings, loaded, ignored)
    if with_labels:
        _check_classes(findings)
    return {
        item.image: what_is_wrong(item, len(classes), ignored)
        for item in loaded
    }


def _count_pixels(
    findings: Findings, loaded: list[Loaded], ignored: int
) -> None:
    """Count the pixels of each class, and give advice for training."""
    classes = len(findings.classes)
    known = [item.counts for item in loaded if item.counts is not None]
    counts = np.zeros((len(known), max(256, classes, ignored + 1)), np.int64)
    for row, own in zip(counts, known):
        row[: len(own)] = own
    pixels = counts[:, :classes]
    findings.pixels = np.append(pixels.sum(0), counts[:, ignored].sum())
    if findings.name == 'train' and pixels.any():
        sums = [x.boundary for x in loaded if x.boundary is not None]
        boundary = np.stack(sums).sum(0, np.float64)
        findings.advice = advise(pixels, boundary).sentences


def _check_classes(findings: Findings) -> None:
    counts = findings.pixels[:-1]
    absent = [name for name, n in zip(findings.classes, counts) if not n]
    if not absent:
        return
    note = f'{len(absent)} classes never occur: {shorten(absent, 10)}'
    # it may be too rare for --limit, or may not be in the validation set
    whole = findings.examined >= findings.images
    is_problem = whole and findings.name == 'train'
    (findings.problems if is_problem else findings.notes).append(note)
