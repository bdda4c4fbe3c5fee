"""How weights are grouped for the optimizer."""

from .flat_decay_constructor import FlatDecayConstructor

__all__ = ['FlatDecayConstructor']
