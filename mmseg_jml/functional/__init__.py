"""The mathematics: tensors in, tensors out, torch alone."""

from .active_classes import active_classes
from .inputs import as_target
from .jaccard import jaccard_metric_loss, pixel_loss
from .kl_divergence import kl_divergence
from .options import RegionLossOptions
from .region_loss import overlap_index, region_loss
from .soft_labels import boundary_mask, smooth_label
from .teacher_logits import mean_teacher, score_logits, teacher_target

__all__ = [
    'RegionLossOptions',
    'active_classes',
    'as_target',
    'boundary_mask',
    'jaccard_metric_loss',
    'kl_divergence',
    'mean_teacher',
    'overlap_index',
    'pixel_loss',
    'region_loss',
    'score_logits',
    'smooth_label',
    'teacher_target',
]
