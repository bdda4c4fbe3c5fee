"""The mathematics: tensors in, tensors out, torch alone."""

from .active_classes import active_classes
from .inputs import as_target
from .jaccard import jaccard_metric_loss, pixel_loss
from .options import RegionLossOptions
from .region_loss import overlap_index, region_loss
from .soft_labels import boundary_mask, smooth_label

__all__ = [
    'RegionLossOptions',
    'active_classes',
    'as_target',
    'boundary_mask',
    'jaccard_metric_loss',
    'overlap_index',
    'pixel_loss',
    'region_loss',
    'smooth_label',
]
