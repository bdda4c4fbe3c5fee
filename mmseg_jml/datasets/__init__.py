"""Datasets, for `dataset` of a config's data loaders."""

from .deepglobe_land import DeepGlobeLandDataset
from .digit_scenes import DigitScenesDataset, write_digit_scenes
from .pixel_marks import MarkPixels
from .soft_labels import LoadSoftLabels, PackSoftLabels

__all__ = [
    'DeepGlobeLandDataset',
    'DigitScenesDataset',
    'LoadSoftLabels',
    'MarkPixels',
    'PackSoftLabels',
    'write_digit_scenes',
]
