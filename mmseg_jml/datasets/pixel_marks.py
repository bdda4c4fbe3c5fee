"""Tell the pixels of an image from those that transforms fill in."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from mmcv.transforms import BaseTransform

from ..registry import TRANSFORMS

__all__ = ['FILLER', 'UNKNOWN', 'MarkPixels']

# Label maps have eight bits. Rotation, padding and crops beyond the border
# fill in 255, which is also the ignored label.
UNKNOWN, FILLER = 254, 255


@TRANSFORMS.register_module()
class MarkPixels(BaseTransform):
    """Give an image a label map without the value 255.

    It belongs after the loading transforms. Later transforms change the map
    together with the image, and fill in 255 where they fill in pixels. At the
    end of the pipeline, 255 therefore means filler, and a pixel of the image
    has its label or, if that is unknown or ignored, 254.

    Required key: img. Added or modified keys: gt_seg_map, seg_fields.

    Args:
        annotations (dict, optional): Entry of the transform that loads the
            label map, for images that have such a file. Defaults to None.

    Raises:
        TypeError: If ``annotations`` is no dictionary.

    Examples:
        >>> pipeline = [
        ...     dict(type='LoadImageFromFile'),
        ...     dict(type='mmseg_jml.MarkPixels'),
        ...     dict(type='RandomRotate', prob=0.5, degree=20),
        ...     dict(type='PackSegInputs'),
        ... ]
    """

    def __init__(self, annotations: Mapping | None = None) -> None:
        if not isinstance(annotations, (Mapping, type(None))):
            raise TypeError(
                'Expected annotations to be the entry of a transform, such as '
                "dict(type='LoadAnnotations'), or None, but got "
                f'{annotations!r}.'
            )
        self._load = annotations and TRANSFORMS.build(dict(annotations))

    def transform(self, results: dict) -> dict:
        """Mark the pixels of one image."""
        results.setdefault('seg_fields', [])
        if self._load and os.path.isfile(results.get('seg_map_path') or ''):
            results = self._load.transform(results)
        label = results.get('gt_seg_map')
        if label is None:
            label = np.full(results['img'].shape[:2], UNKNOWN, np.uint8)
            results['seg_fields'].append('gt_seg_map')
        results['gt_seg_map'] = np.where(label == FILLER, UNKNOWN, label)
        return results
