"""Pixel-sized work behind one signature, :func:`region_sums`."""

from .region_sums import IMPLEMENTATIONS, choose, region_sums
from .request import (
    HardLabel,
    Probabilities,
    RegionSums,
    Request,
    Target,
    TeacherLogits,
)

__all__ = [
    'IMPLEMENTATIONS',
    'HardLabel',
    'Probabilities',
    'RegionSums',
    'Request',
    'Target',
    'TeacherLogits',
    'choose',
    'region_sums',
]
