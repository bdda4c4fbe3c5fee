"""Losses for the ``loss_decode`` entry of a config."""

from .channel_wise_divergence_loss import ChannelWiseDivergenceLoss
from .jaccard_metric_loss import JaccardMetricCELoss, JaccardMetricLoss
from .kl_divergence_loss import KLDivergenceLoss

__all__ = [
    'ChannelWiseDivergenceLoss',
    'JaccardMetricCELoss',
    'JaccardMetricLoss',
    'KLDivergenceLoss',
]
