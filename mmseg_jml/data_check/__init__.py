"""Tells what is wrong with the data of a config, before training."""

from .check import check_config
from .findings import Findings

__all__ = ['Findings', 'check_config']
