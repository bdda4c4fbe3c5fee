"""Registries of this package: children of mmseg's, one per kind of object.

A class registered here is found under two names. ``mmseg_jml.Name`` needs no
import line, because mmengine imports this module when it meets the prefix.
The short ``Name`` is found by any mmseg config once ``mmseg_jml`` is imported
(``custom_imports = dict(imports=['mmseg_jml'])``).
"""

from mmengine.registry import Registry
from mmseg import registry as mmseg_registry

__all__ = [
    'DATASETS',
    'HOOKS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'TRANSFORMS',
]


class PluginRegistry(Registry):
    """A child registry whose entries its parent knows by their short name."""

    def _register_module(self, module, module_name=None, force=False):
        super()._register_module(module, module_name, force)
        self.parent._register_module(module, module_name, force)


def _child(parent: Registry, location: str) -> PluginRegistry:
    return PluginRegistry(
        parent.name, parent=parent, scope='mmseg_jml', locations=[location]
    )


DATASETS = _child(mmseg_registry.DATASETS, 'mmseg_jml.datasets')
HOOKS = _child(mmseg_registry.HOOKS, 'mmseg_jml.hooks')
METRICS = _child(mmseg_registry.METRICS, 'mmseg_jml.metrics')
MODELS = _child(mmseg_registry.MODELS, 'mmseg_jml.losses')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    mmseg_registry.OPTIM_WRAPPER_CONSTRUCTORS, 'mmseg_jml.optim'
)
TRANSFORMS = _child(mmseg_registry.TRANSFORMS, 'mmseg_jml.datasets')
