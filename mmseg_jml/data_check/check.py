"""Checks the data sets of a config, one after the other."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ..datasets.conversion import shorten
from ..datasets.parts import (
    build_dataset,
    missing_paths,
    parts_of,
    source_entries,
)
from ..supervision.weak_pipeline import pipeline_of, weak_pipeline
from .files import missing_files
from .findings import Findings
from .labels import count_pixels, examine, label_problems
from .views import crop_larger_than_images, spread, take_view

__all__ = ['check_config']

UNLABELED = 'unlabeled'
NUM_VIEWS = 8
# They tell borders from areas, and distances.
OTHER_CLASSES = ('STDCHead', 'VPDDepthHead')


def check_config(cfg: Config, limit: int | None = None) -> list[Findings]:
    """Opens the data sets of a config and looks for what is wrong.

    They are those for training and validation, and the unlabelled one of a
    ``PseudoLabelHook``.

    Args:
        cfg (Config): The config.
        limit (int, optional): Images to open in each data set. Defaults to
            None, which stands for all.

    Returns:
        list[Findings]: What was found in each data set.

    Raises:
        ValueError: If there is none.
    """
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    found, images = {}, {}
    for name, entry in _entries(cfg):
        findings = found[name] = Findings(name)
        try:
            dataset = build_dataset(entry)
            parts = parts_of(dataset)
        except (TypeError, ValueError) as error:
            findings.problems.append(f'it cannot be built: {error}')
            continue
        findings.problems += (
            told
            for told in missing_paths(entry)
            if name != UNLABELED or 'seg_map_path' not in told
        )
        images[name] = _check_parts(findings, parts, limit)
        _check_views(findings, dataset, parts)
        _check_heads(findings, cfg.get('model') or {})
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


def _entries(cfg: Config) -> Iterator[tuple[str, Mapping]]:
    """Finds the data sets in a config."""
    train = (cfg.get('train_dataloader') or {}).get('dataset')
    for name in ('train', 'val'):
        loader = cfg.get(f'{name}_dataloader')
        if loader:
            yield name, loader['dataset']
    for hook in cfg.get('custom_hooks') or ():
        loader = hook.get('unlabeled_dataloader')
        if loader:
            entry = copy.deepcopy(loader['dataset'])
            for source in source_entries(entry):
                # what the hook does with a data set that has none
                source.setdefault(
                    'pipeline', weak_pipeline(pipeline_of(train or {}))
                )
            yield UNLABELED, entry


def _check_parts(
    findings: Findings, parts: list, limit: int | None
) -> set[str]:
    """Checks files, labels and classes; returns the paths of the images."""
    with_labels = findings.name != UNLABELED
    meta = parts[0].metainfo
    classes = findings.classes = meta.get('classes') or ()
    findings.palette = meta.get('palette') or ()
    findings.pixels = np.zeros(len(classes) + 1, np.int64)
    ignored = parts[0].ignore_index
    loaded = []
    for part in parts:
        findings.images += len(part)
        findings.problems += missing_files(part, with_labels)
        indices = spread(len(part), limit)
        loaded += examine(part, indices, findings.name)
    findings.examined = len(loaded)
    if classes:
        findings.problems += label_problems(loaded, len(classes), ignored)
        findings.pixels = count_pixels(loaded, len(classes), ignored)
        _check_classes(findings)
    else:
        findings.problems.append('it has no classes: set metainfo.classes')
    return {
        part.get_data_info(i)['img_path']
        for part in parts
        for i in range(len(part))
    }


def _check_classes(findings: Findings) -> None:
    counts = findings.pixels[:-1]
    absent = [name for name, n in zip(findings.classes, counts) if not n]
    if not absent or findings.name == UNLABELED:
        return
    told = f'{len(absent)} classes never occur: {shorten(absent, 10)}'
    # a class can be rare, or have nothing to be validated on
    whole = findings.examined >= findings.images
    is_problem = whole and findings.name == 'train'
    (findings.problems if is_problem else findings.notes).append(told)


def _check_views(findings: Findings, dataset: object, parts: list) -> None:
    """Checks the whole pipeline, on a few images."""
    failures = []
    for index in spread(len(dataset), NUM_VIEWS):
        try:
            findings.views.append(take_view(dataset, index))
        except Exception as error:  # of any transform
            failures.append(f'{type(error).__name__}: {error}')
    if failures:
        findings.problems.append(
            f'its pipeline fails on {len(failures)} of '
            f'{len(failures) + len(findings.views)} images: {failures[0]}'
        )
        return
    _check_crop(findings, parts)


def _check_crop(findings: Findings, parts: list) -> None:
    """Looks for images that are smaller than the crop."""
    looked_at, smaller = 0, []
    for part in parts:
        indices = spread(len(part), NUM_VIEWS)
        cropped = crop_larger_than_images(part, indices)
        if cropped:
            crop, sizes = cropped
            looked_at += len(indices)
            smaller += sizes
    if smaller:
        always = len(smaller) == looked_at
        (findings.problems if always else findings.notes).append(
            f'the crop of {crop} is larger than {len(smaller)} of {looked_at} '
            f'images when they come to it, such as {min(smaller)}; the rest '
            'is padding'
        )


def _check_heads(findings: Findings, model: Mapping) -> None:
    expected = len(findings.classes)
    for key in ('decode_head', 'auxiliary_head'):
        heads = model.get(key) or ()
        for head in heads if isinstance(heads, (list, tuple)) else [heads]:
            number = head.get('num_classes', expected)
            if number != expected and head['type'] not in OTHER_CLASSES:
                findings.problems.append(
                    f'{key} has num_classes={number} but the data has '
                    f'{expected} classes'
                )
