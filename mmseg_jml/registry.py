"""Registries of this package: children of mmseg's, one per kind of object.

A config can name a class of this package in two ways. ``mmseg_jml.Name`` needs
no import line, because mmengine imports this module when it meets the prefix.
The short ``Name`` works once ``mmseg_jml`` is imported
(``custom_imports = dict(imports=['mmseg_jml'])``).

Importing this module registers all classes. Those that need mmengine do so by
a decorator; the losses, which need torch alone, are registered here.
"""

from __future__ import annotations

from importlib import import_module

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
    """A child registry that also adds its entries to its parent."""

    def _register_module(
        self,
        module: type,
        module_name: str | list[str] | None = None,
        force: bool = False,
    ) -> None:
        super()._register_module(module, module_name, force)
        self.parent._register_module(module, module_name, force)


def _child(parent: Registry) -> PluginRegistry:
    return PluginRegistry(parent.name, parent=parent, scope='mmseg_jml')


DATASETS = _child(mmseg_registry.DATASETS)
HOOKS = _child(mmseg_registry.HOOKS)
METRICS = _child(mmseg_registry.METRICS)
MODELS = _child(mmseg_registry.MODELS)
OPTIM_WRAPPER_CONSTRUCTORS = _child(mmseg_registry.OPTIM_WRAPPER_CONSTRUCTORS)
TRANSFORMS = _child(mmseg_registry.TRANSFORMS)


def _fill() -> None:
    for room in ('datasets', 'hooks', 'metrics', 'optim'):
        import_module(f'mmseg_jml.{room}')
    losses = import_module('mmseg_jml.losses')
    for name in losses.__all__:
        MODELS.register_module(module=getattr(losses, name))


# This comes last, because what it imports needs the registries above.
_fill()
