"""Hooks for `custom_hooks` of a config."""

from .distillation_hook import DistillationHook
from .exact_resume_hook import ExactResumeHook
from .head_resolution_hook import HeadResolutionHook
from .pseudo_label_hook import PseudoLabelHook
from .soft_label_hook import SoftLabelHook
from .soft_label_visualization_hook import SoftLabelVisualizationHook

__all__ = [
    'DistillationHook',
    'ExactResumeHook',
    'HeadResolutionHook',
    'PseudoLabelHook',
    'SoftLabelHook',
    'SoftLabelVisualizationHook',
]
