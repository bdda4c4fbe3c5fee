"""A label map that tells pixels of an image from what transforms fill in."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from mmcv.transforms import BaseTransform

from ..registry import TRANSFORMS

__all__ = ['FILLER', 'UNKNOWN', 'MarkPixels']

# mmseg's label maps have eight bits, of which 255 is what rotation, padding
# and crops beyond the border fill in, and what labels are ignored with.
UNKNOWN, FILLER = 254, 255


@TRANSFORMS.register_module()
class MarkPixels(BaseTransform):
    """Give an image a label map that marks every pixel as one of the image.

    It stands behind the transforms that load. All others move the map with
    the image, and fill it with 255 where they fill in pixels; so 255 means
    filler in the end, and a pixel of the image has its label or, where that
    is not known or ignored, 254.

    Required key: img. Added or modified keys: gt_seg_map, seg_fields.

    Args:
        annotations (dict, optional): Entry of the transform that loads the
            label map. It is used for images that have such a file. Defaults
            to None.
    """

    def __init__(self, annotations: Mapping | None = None) -> None:
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
