"""Losses for the ``loss_decode`` entry of a config."""

from .jaccard_metric_loss import JaccardMetricCELoss, JaccardMetricLoss
from .kl_divergence_loss import KLDivergenceLoss

__all__ = ['JaccardMetricCELoss', 'JaccardMetricLoss', 'KLDivergenceLoss']
