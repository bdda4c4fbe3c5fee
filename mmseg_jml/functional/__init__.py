"""Losses and metrics as functions of tensors, which need torch alone."""

from .attention_distance import attention_distance
from .calibration import (
    CalibrationState,
    calibration_figures,
    calibration_state,
)
from .calibration_error import (
    CalibrationOptions,
    bin_means,
    equal_mass_bins,
    expected_calibration_error,
    static_calibration_error,
)
from .channel_wise_divergence import channel_wise_divergence
from .confidence import ConfidenceSums, confidence_sums
from .cutmix import cutmix_boxes, paste
from .distributed import largest_of_all, sum_over_images
from .feature_dropout import complementary_dropout
from .fine_grained_iou import fine_grained_iou
from .inputs import as_target, make_request
from .jaccard_metric_loss import jaccard_metric_loss
from .kl_divergence import kl_divergence
from .loss_parts import LossParts, loss_parts
from .option_checks import (
    check_above,
    check_at_least,
    check_counts,
    check_integers,
    check_percent,
)
from .options import ActiveClasses, RegionLossOptions
from .overlap_index import overlap_index
from .pixel_chunks import SCORE_KINDS
from .pixel_loss import pixel_loss
from .prediction import Canvas, View, Window, predicted_classes
from .probabilities import are_probabilities, average_scores, both_classes
from .pseudo_labels import (
    certain_logits,
    class_maxima,
    confident_share,
    pixel_accuracy,
    pseudo_label,
    running_threshold,
)
from .region_counts import RegionCounts, region_counts
from .region_scores import (
    chance_iou,
    class_scores,
    dataset_scores,
    gain_over_chance,
    image_scores,
    mean_iou,
    worst_mean,
)
from .smoothing_watch import label_mass, swamped_classes
from .soft_labels import check_label_smoothing, mean_vote, smooth_label
from .teacher_logits import average_teachers, score_logits, teacher_target
from .temperature import TemperatureSums, fit_temperature, temperature_sums
from .windows import boundary_mask, label_windows

__all__ = [
    'SCORE_KINDS',
    'ActiveClasses',
    'CalibrationOptions',
    'CalibrationState',
    'Canvas',
    'ConfidenceSums',
    'LossParts',
    'RegionCounts',
    'RegionLossOptions',
    'TemperatureSums',
    'View',
    'Window',
    'are_probabilities',
    'as_target',
    'attention_distance',
    'average_scores',
    'average_teachers',
    'bin_means',
    'both_classes',
    'boundary_mask',
    'calibration_figures',
    'calibration_state',
    'certain_logits',
    'chance_iou',
    'channel_wise_divergence',
    'check_label_smoothing',
    'check_above',
    'check_at_least',
    'check_counts',
    'check_integers',
    'check_percent',
    'class_maxima',
    'class_scores',
    'complementary_dropout',
    'confidence_sums',
    'confident_share',
    'cutmix_boxes',
    'dataset_scores',
    'equal_mass_bins',
    'expected_calibration_error',
    'fine_grained_iou',
    'fit_temperature',
    'gain_over_chance',
    'image_scores',
    'jaccard_metric_loss',
    'kl_divergence',
    'label_mass',
    'label_windows',
    'largest_of_all',
    'loss_parts',
    'make_request',
    'mean_iou',
    'mean_vote',
    'overlap_index',
    'paste',
    'pixel_accuracy',
    'pixel_loss',
    'predicted_classes',
    'pseudo_label',
    'region_counts',
    'running_threshold',
    'score_logits',
    'smooth_label',
    'static_calibration_error',
    'sum_over_images',
    'swamped_classes',
    'teacher_target',
    'temperature_sums',
    'worst_mean',
]
