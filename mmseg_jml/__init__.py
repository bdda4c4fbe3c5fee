"""Jaccard metric losses for MMSegmentation."""

from importlib.util import find_spec

from .version import __version__

__all__ = ['__version__']

# The mathematics (functional, kernels) needs torch alone.
if find_spec('mmseg') is not None:
    from . import compat

    compat.apply()
    # fills the registries
    from . import hooks, losses, metrics, optim  # noqa: F401
    from .logs import show_in_runs

    show_in_runs()
