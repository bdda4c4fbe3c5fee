"""Datasets and transforms, for `dataset` of a config's data loaders.

Internal, for hooks and checks of data, are the modules `named_images`,
`numbered_batches` and `parts`, and the values of `pixel_marks`.
"""

from .deepglobe_land import DeepGlobeLandDataset
from .pixel_marks import MarkPixels
from .soft_labels import LoadSoftLabels, PackSoftLabels

__all__ = [
    'DeepGlobeLandDataset',
    'LoadSoftLabels',
    'MarkPixels',
    'PackSoftLabels',
]
