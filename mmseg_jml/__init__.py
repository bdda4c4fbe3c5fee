"""Jaccard metric losses for MMSegmentation.

This index offers losses, hooks and metrics, and imports them when they are
first used. Data sets and transforms are in :mod:`mmseg_jml.datasets`, the
constructor of optimizers in :mod:`mmseg_jml.optim`; a config names them, too,
by ``mmseg_jml.`` and the name of the class.

The losses, and the functions behind them (``functional``, ``kernels``), need
torch alone; hooks and metrics need MMSegmentation. Once MMSegmentation is
imported too, before or after this package, its registries hold all classes of
this package.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .imports import after_import

if TYPE_CHECKING:
    from .hooks import (
        DistillationHook,
        ExactResumeHook,
        HeadResolutionHook,
        PseudoLabelHook,
        SoftLabelHook,
        SoftLabelVisualizationHook,
    )
    from .losses import (
        ChannelWiseDivergenceLoss,
        JaccardMetricCELoss,
        JaccardMetricLoss,
        KLDivergenceLoss,
    )
    from .metrics import (
        AveragingTTAModel,
        CalibrationMetric,
        FineGrainedIoUMetric,
        TemperatureMetric,
    )

__all__ = [
    'AveragingTTAModel',
    'CalibrationMetric',
    'ChannelWiseDivergenceLoss',
    'DistillationHook',
    'ExactResumeHook',
    'FineGrainedIoUMetric',
    'HeadResolutionHook',
    'JaccardMetricCELoss',
    'JaccardMetricLoss',
    'KLDivergenceLoss',
    'PseudoLabelHook',
    'SoftLabelHook',
    'SoftLabelVisualizationHook',
    'TemperatureMetric',
    '__version__',
]

__version__ = '0.1.0'

_ROOM_OF = {
    'AveragingTTAModel': 'metrics',
    'CalibrationMetric': 'metrics',
    'ChannelWiseDivergenceLoss': 'losses',
    'DistillationHook': 'hooks',
    'ExactResumeHook': 'hooks',
    'FineGrainedIoUMetric': 'metrics',
    'HeadResolutionHook': 'hooks',
    'JaccardMetricCELoss': 'losses',
    'JaccardMetricLoss': 'losses',
    'KLDivergenceLoss': 'losses',
    'PseudoLabelHook': 'hooks',
    'SoftLabelHook': 'hooks',
    'SoftLabelVisualizationHook': 'hooks',
    'TemperatureMetric': 'metrics',
}
_ROOMS = (
    'compat',
    'datasets',
    'functional',
    'hooks',
    'kernels',
    'losses',
    'metrics',
    'optim',
    'registry',
)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f'{__name__}.{name}')
    if name in _ROOM_OF:
        return getattr(import_module(f'{__name__}.{_ROOM_OF[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})


def _require_torch() -> None:
    version = sys.modules['torch'].__version__
    if int(version.partition('.')[0]) < 2:
        raise ImportError(
            'Expected torch 2.0 or later, the first whose autograd functions '
            f'have a setup_context, but got torch {version}. Install a newer '
            'one, or leave mmseg_jml out.'
        )


def _mend_loading() -> None:
    from .compat import allow_training_checkpoints

    allow_training_checkpoints()


def _join_mmseg() -> None:
    from .compat import apply
    from .logs import show_in_runs

    apply()
    import_module(f'{__name__}.registry')
    show_in_runs()


after_import('torch', _require_torch)
after_import('mmengine.runner.checkpoint', _mend_loading)
after_import('mmseg', _join_mmseg)
