"""Which options of the optimizer each parameter gets."""

from .flat_decay_constructor import FlatDecayConstructor

__all__ = ['FlatDecayConstructor']
