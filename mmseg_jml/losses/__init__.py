"""Losses for the ``loss_decode`` entry of a config."""

import logging

from mmseg_jml.run_log import RunLogHandler

from .jaccard_metric_loss import JaccardMetricCELoss, JaccardMetricLoss
from .kl_divergence_loss import KLDivergenceLoss

__all__ = ['JaccardMetricCELoss', 'JaccardMetricLoss', 'KLDivergenceLoss']

logging.getLogger('mmseg_jml').addHandler(RunLogHandler())
