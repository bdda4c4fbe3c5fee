"""Datasets, for `dataset` of a config's data loaders."""

from .digit_scenes import DigitScenesDataset, write_digit_scenes

__all__ = ['DigitScenesDataset', 'write_digit_scenes']
