"""The pipeline of unlabelled images, from that of labelled ones."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence

from ..config import type_name
from ..datasets.parts import source_entries
from ..datasets.pixel_marks import FILLER

__all__ = ['give_pipeline', 'pipeline_of', 'weak_pipeline']

_KEPT = {
    # move pixels
    *('Resize', 'RandomResize', 'RandomChoiceResize', 'ResizeShortestEdge'),
    *('ResizeToMultiple', 'RandomCrop', 'CenterCrop', 'RandomFlip'),
    *('RandomRotate', 'RandomRotFlip', 'RandomCutOut'),
    # change the colours of all images alike
    *('CLAHE', 'AdjustGamma', 'Rerange', 'RGB2Gray'),
}
# Random colours are for strong views, the preprocessor pads, and the others
# are about labels.
_DROPPED = {
    'Pad',
    *('PhotoMetricDistortion', 'RandomGrayscale', 'ColorJitter'),
    *('LoadAnnotations', 'LoadDepthAnnotation', 'LoadSoftLabels'),
    *('GenerateEdge', 'SegRescale', 'PackSegInputs', 'PackSoftLabels'),
}
_CHOICES = 'RandomApply', 'RandomChoice'
# The option with the label of filled-in pixels, which becomes FILLER.
_FILLS = {'RandomRotate': 'seg_pad_val', 'RandomCutOut': 'seg_fill_in'}
_MARK = 'mmseg_jml.MarkPixels'
_WAY_OUT = 'Give unlabeled_dataloader.dataset a pipeline to have it your way.'


def weak_pipeline(labelled: Sequence[dict]) -> list[dict]:
    """Return the part of a training pipeline that needs no label.

    These are the transforms that load, resize, crop, flip, rotate, cut out
    and pack images or change the colours of all alike, also inside
    ``RandomApply`` and ``RandomChoice``.

    Examples:
        >>> stock = [
        ...     dict(type='LoadImageFromFile'),
        ...     dict(type='LoadAnnotations'),
        ...     dict(type='RandomCrop', crop_size=(64, 64)),
        ...     dict(type='PhotoMetricDistortion'),
        ...     dict(type='PackSegInputs'),
        ... ]
        >>> [transform['type'] for transform in weak_pipeline(stock)]
        ['LoadImageFromFile', 'RandomCrop', 'PackSegInputs']
    """
    return [*_part(labelled, []), dict(type='PackSegInputs')]


def _part(labelled: Sequence[dict], unknown: list[str]) -> list[dict]:
    """Return the transforms to keep; append the names of unknown ones."""
    kept = []
    for entry in copy.deepcopy(list(labelled)):
        name = type_name(entry)
        loads = 'Load' in name and not ('Annotation' in name or 'Soft' in name)
        if name in _CHOICES:
            branches = entry['transforms']
            if name == 'RandomChoice':
                branches = [_part(_listed(b), unknown) for b in branches]
            else:
                branches = _part(_listed(branches), unknown)
            entry['transforms'] = branches
            if any(branches):
                kept.append(entry)
        elif loads or name in _KEPT:
            if name == 'RandomCrop':
                entry['cat_max_ratio'] = 1.0  # must not depend on a label
            kept.append(entry)
        elif name not in _DROPPED:
            unknown.append(name)
    return kept


def _listed(entries: dict | Sequence[dict]) -> Sequence[dict]:
    return [entries] if isinstance(entries, Mapping) else entries


def pipeline_of(dataset: Mapping) -> list[dict]:
    """Return the transforms of a data set, through all of its wrappers.

    Those of the innermost data set come first, since a
    ``MultiImageMixDataset`` adds others to the ones that load. Of a wrapper
    of several data sets the first one counts.
    """
    inner = [dataset.get('dataset'), *(dataset.get('datasets') or ())]
    first = next(filter(None, inner), None)
    own = list(dataset.get('pipeline') or ())
    return (pipeline_of(first) if first else []) + own


def give_pipeline(dataset: dict, labelled: Mapping) -> None:
    """Give unlabelled images a pipeline, and let it mark their pixels.

    A data set with a pipeline keeps it. Others get the part of the labelled
    images' pipeline that needs no label; the log shows it, and warns of
    unknown transforms that were left out. The data set, which may wrap others,
    is changed in place. It is a ValueError if no pipeline can be derived.
    """
    leaves = list(source_entries(dataset))
    if any('pipeline' not in leaf for leaf in leaves):
        stock = pipeline_of(labelled)
        derived = _derive(stock)
        names = map(type_name, stock)
        annotations = dict(zip(names, stock)).get('LoadAnnotations')
    for leaf in leaves:
        if 'pipeline' in leaf:
            leaf['pipeline'] = _marked(leaf['pipeline'])
        else:
            leaf['pipeline'] = _marked(derived, annotations)


def _derive(stock: Sequence[dict]) -> list[dict]:
    unknown: list[str] = []
    derived = _part(stock, unknown)
    if not any('Load' in type_name(entry) for entry in derived):
        raise ValueError(
            'Expected a transform that loads images in the pipeline of '
            'train_dataloader, from which that of the unlabelled images is '
            f'derived, but got {_shown(stock) or "no pipeline"}. {_WAY_OUT}'
        )
    derived.append(dict(type='PackSegInputs'))
    log = logging.getLogger('mmseg_jml')
    log.info(f'Unlabelled images go through {_shown(derived)}. {_WAY_OUT}')
    if unknown:
        log.warning(
            f'Left out of the pipeline of the unlabelled images, because '
            'they might mix images or need labels: '
            f'{", ".join(dict.fromkeys(unknown))}. {_WAY_OUT}'
        )
    return derived


def _shown(pipeline: Sequence[dict]) -> str:
    parts = []
    for entry in pipeline:
        options = ', '.join(
            f'{k}={v!r}' for k, v in entry.items() if k != 'type'
        )
        parts.append(f'{type_name(entry)}({options})')
    return ', '.join(parts)


def _marked(
    pipeline: Sequence[dict], annotations: dict | None = None
) -> list[dict]:
    """Insert MarkPixels behind the loading, and let filler be marked."""
    pipeline = [_filling(entry) for entry in pipeline]
    loads = [i for i, e in enumerate(pipeline) if 'Load' in type_name(e)]
    if loads:
        mark = dict(type=_MARK, annotations=annotations)
        pipeline.insert(loads[-1] + 1, mark)
    return pipeline


def _filling(entry: dict) -> dict:
    entry, name = dict(entry), type_name(entry)
    if name in _FILLS:
        entry[_FILLS[name]] = FILLER
    if name in _CHOICES:
        entry['transforms'] = [  # a choice may be a list of transforms
            _filling(branch)
            if isinstance(branch, Mapping)
            else [_filling(part) for part in branch]
            for branch in _listed(entry['transforms'])
        ]
    return entry
