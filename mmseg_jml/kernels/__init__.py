"""Pixel-sized work behind one signature, :func:`region_sums`."""

from .region_sums import IMPLEMENTATIONS, RegionSums, region_sums
from .targets import HardLabel, Probabilities, Target, TeacherLogits

__all__ = [
    'IMPLEMENTATIONS',
    'HardLabel',
    'Probabilities',
    'RegionSums',
    'Target',
    'TeacherLogits',
    'region_sums',
]
