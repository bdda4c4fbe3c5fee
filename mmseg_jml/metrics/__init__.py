"""Metrics for `val_evaluator` and `test_evaluator` of a config."""

from .averaging_tta_model import AveragingTTAModel
from .calibration_metric import CalibrationMetric
from .fine_grained_iou_metric import FineGrainedIoUMetric
from .temperature_metric import TemperatureMetric

__all__ = [
    'AveragingTTAModel',
    'CalibrationMetric',
    'FineGrainedIoUMetric',
    'TemperatureMetric',
]
