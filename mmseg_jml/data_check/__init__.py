"""Find out what is wrong with a config and its data before training."""

from .advice import Advice, advise, boundary_sums
from .check import check_config, find_obstacles
from .findings import Findings

__all__ = [
    'Advice',
    'Findings',
    'advise',
    'boundary_sums',
    'check_config',
    'find_obstacles',
]
