"""Datasets and transforms, for `dataset` of a config's data loaders."""

from .deepglobe_land import DeepGlobeLandDataset
from .pixel_marks import MarkPixels
from .soft_labels import LoadSoftLabels, PackSoftLabels

__all__ = [
    'DeepGlobeLandDataset',
    'LoadSoftLabels',
    'MarkPixels',
    'PackSoftLabels',
]
