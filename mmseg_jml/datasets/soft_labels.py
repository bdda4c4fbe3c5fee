"""Soft labels from files, through the transforms of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData

from ..registry import TRANSFORMS

__all__ = ['LoadSoftLabels', 'PackSoftLabels']

# How far sums of probabilities stored in half precision may be from 1.
_SUM_TOLERANCE = 5e-3
_KEY = 'soft_label_'


@TRANSFORMS.register_module()
class LoadSoftLabels(BaseTransform):
    """Load the masks of several annotators, or a map of probabilities.

    It belongs after ``LoadAnnotations``. What it loads is cropped, flipped and
    resized (to the nearest pixel) like the label.

    The path of a file is that of the label with pieces of text replaced, each
    where it occurs last. Masks are read as ``LoadAnnotations`` reads the
    label. A map of probabilities is saved by ``numpy.save`` as (C, H, W)
    floats, with 0 for every class where a pixel has no label.

    Required keys: seg_map_path, seg_fields. Added keys: soft_label_0,
    soft_label_1, ...: (H, W) integers, or (H, W, C) floats.

    Args:
        sources (dict | Sequence[dict]): Replacements by the text that they
            replace; one dictionary for each annotator.
        **kwargs: Arguments of ``LoadAnnotations``.

    Raises:
        TypeError: If a source is no dictionary.
        ValueError: If there is no source; while loading, if a path does not
            hold a text to replace, or a file does not hold probabilities.

    Examples:
        Two annotators, with masks in folders beside that of the label:

        >>> masks = dict(
        ...     type='mmseg_jml.LoadSoftLabels',
        ...     sources=[{'/masks/': '/first/'}, {'/masks/': '/second/'}],
        ... )

        A map of probabilities, here written and loaded:

        >>> import tempfile
        >>> load = LoadSoftLabels({'.png': '.npy'})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f'{folder}/7.npy', np.full((2, 4, 6), 0.5))
        ...     path = f'{folder}/7.png'
        ...     found = load(dict(seg_map_path=path, seg_fields=[]))
        >>> found['soft_label_0'].shape, found['seg_fields']
        ((4, 6, 2), ['soft_label_0'])
    """

    def __init__(
        self, sources: Mapping[str, str] | Sequence[Mapping], **kwargs: Any
    ) -> None:
        several = [sources] if isinstance(sources, Mapping) else sources
        if not isinstance(several, Sequence) or not all(
            isinstance(source, Mapping) for source in several
        ):
            raise TypeError(
                'Expected sources to be a dictionary of replacements, such as '
                "{'/masks/': '/first/'}, or a list of them, but got "
                f'{sources!r}.'
            )
        self._sources = list(several)
        if not self._sources:
            raise ValueError('Expected at least one source but got none.')
        self._load_mask = TRANSFORMS.build(
            dict(type='LoadAnnotations', **kwargs)
        )

    def transform(self, results: dict) -> dict:
        """Load the soft labels of one image.

        Raises:
            ValueError: If the path of the label does not hold a text to
                replace, or a file does not hold probabilities.
        """
        for number, source in enumerate(self._sources):
            path = _replaced(results['seg_map_path'], source)
            key = f'{_KEY}{number}'
            if path.endswith('.npy'):
                results[key] = _load_probabilities(path)
            else:
                mask = dict(results, seg_map_path=path, seg_fields=[])
                results[key] = self._load_mask.transform(mask)['gt_seg_map']
            results['seg_fields'].append(key)
        return results


@TRANSFORMS.register_module()
class PackSoftLabels(BaseTransform):
    """Pack samples with soft labels.

    ``data_samples.soft_label`` holds the masks of K annotators, (K, H, W)
    integers, or probabilities, (C, H, W) floats.

    Args:
        **kwargs: Arguments of ``PackSegInputs``.

    Raises:
        ValueError: While packing, if there is no soft label, or more than one
            map of probabilities.

    Examples:
        >>> image = np.zeros((4, 6, 3), np.uint8)
        >>> soft = np.full((4, 6, 2), 0.5, np.float32)
        >>> pack = PackSoftLabels(meta_keys=())
        >>> packed = pack(dict(img=image, soft_label_0=soft))
        >>> packed['data_samples'].soft_label.data.shape
        torch.Size([2, 4, 6])
    """

    def __init__(self, **kwargs: Any) -> None:
        self._pack = TRANSFORMS.build(dict(type='PackSegInputs', **kwargs))

    def transform(self, results: dict) -> dict:
        """Pack one image into ``inputs`` and ``data_samples``.

        Raises:
            ValueError: If there is no soft label, or more than one map of
                probabilities.
        """
        labels = [v for k, v in results.items() if k.startswith(_KEY)]
        if not labels:
            raise ValueError(
                'Expected LoadSoftLabels in the pipeline before '
                'PackSoftLabels but got no soft label.'
            )
        if {label.ndim for label in labels} == {2}:
            soft = np.stack(labels)
        elif len(labels) == 1:
            # a transform may have filled pixels with the ignored label
            filled = labels[0].max(2, keepdims=True) > 1 + _SUM_TOLERANCE
            soft = np.where(filled, np.float32(0), labels[0])
            soft = soft.transpose(2, 0, 1)
        else:
            raise ValueError(
                'Expected several masks or one map of probabilities, but got '
                f'soft labels of shapes {[label.shape for label in labels]}.'
            )
        packed = self._pack.transform(results)
        packed['data_samples'].soft_label = PixelData(
            data=torch.from_numpy(np.ascontiguousarray(soft))
        )
        return packed


def _replaced(path: str, texts: Mapping[str, str]) -> str:
    new = path
    for old, text in texts.items():
        if old not in new:
            raise ValueError(
                f'Expected {old!r} in the path of the label, to replace it by '
                f'{text!r}, but got {new!r}.'
            )
        new = text.join(new.rsplit(old, 1))
    return new


def _load_probabilities(path: str) -> np.ndarray:
    value = np.load(path)
    if value.ndim != 3 or not np.issubdtype(value.dtype, np.floating):
        raise ValueError(
            f'Expected {path} to hold float probabilities of shape (C, H, W) '
            f'but got {value.dtype} of shape {value.shape}.'
        )
    value = value.astype(np.float32)
    total = value.sum(0)
    is_label = np.abs(total - 1) <= _SUM_TOLERANCE
    if value.min() < 0 or not (is_label | (total == 0)).all():
        raise ValueError(
            f'Expected {path} to hold probabilities that sum to 1 over the '
            'first dimension, or are all 0 where there is no label, but got '
            f'values from {value.min()} and sums up to {total.max()}.'
        )
    return np.ascontiguousarray(value.transpose(1, 2, 0))
