"""Datasets, for `dataset` of a config's data loaders."""

from .digit_scenes import DigitScenesDataset, write_digit_scenes
from .soft_labels import LoadSoftLabels, PackSoftLabels

__all__ = [
    'DigitScenesDataset',
    'LoadSoftLabels',
    'PackSoftLabels',
    'write_digit_scenes',
]
