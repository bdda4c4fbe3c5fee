"""All work on pixels: from a :class:`Request` to its :class:`RegionSums`."""

from .chunked import label_entropy
from .one_step import as_one_step, is_compiling
from .reference import class_weight, cross_entropy, pixel_weight, upsampled
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
    'as_one_step',
    'check_implementation',
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
