"""All work on pixels: from a :class:`Request` to its :class:`RegionSums`."""

from .chunked import label_entropy
from .region_sums import (
    IMPLEMENTATIONS,
    check_implementation,
    choose,
    reduced,
    region_sums,
)
from .request import Request
from .results import Reduction, RegionSums
from .targets import HardLabel, Probabilities, Target, TeacherLogits

__all__ = [
    'IMPLEMENTATIONS',
    'HardLabel',
    'Probabilities',
    'Reduction',
    'RegionSums',
    'Request',
    'Target',
    'TeacherLogits',
    'check_implementation',
    'choose',
    'label_entropy',
    'reduced',
    'region_sums',
]
