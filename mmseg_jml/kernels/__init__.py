"""All work on pixels: from a :class:`Request` to its :class:`RegionSums`."""

from .chunked import label_entropy
from .reference import class_weight, cross_entropy, pixel_weight, upsampled
from .region_sums import (
    IMPLEMENTATIONS,
    choose,
    is_compiling,
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
    'choose',
    'class_weight',
    'cross_entropy',
    'is_compiling',
    'label_entropy',
    'pixel_weight',
    'reduced',
    'region_sums',
    'upsampled',
]
