"""Losses for the ``loss_decode`` entry of a config.

Their base class, and how hooks tell what a loss takes, are in the internal
module `loss_entry`.
"""

from .channel_wise_divergence_loss import ChannelWiseDivergenceLoss
from .jaccard_metric_loss import JaccardMetricCELoss, JaccardMetricLoss
from .kl_divergence_loss import KLDivergenceLoss

__all__ = [
    'ChannelWiseDivergenceLoss',
    'JaccardMetricCELoss',
    'JaccardMetricLoss',
    'KLDivergenceLoss',
]
