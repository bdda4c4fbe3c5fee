"""Losses for the ``loss_decode`` entry of a config."""

from .jaccard_metric_loss import JaccardMetricCELoss, JaccardMetricLoss

__all__ = ['JaccardMetricCELoss', 'JaccardMetricLoss']
