"""The loss on the device of a test, with all options as keywords."""

from dataclasses import fields

import torch

from mmseg_jml import functional
from mmseg_jml.functional import RegionLossOptions
from tests.devices import on_device

jaccard_metric_loss = on_device(functional.jaccard_metric_loss)

LEVELS = dict(mIoUD=0.2, mIoUI=0.5, mIoUC=0.3)
OPTIONS = {field.name for field in fields(RegionLossOptions)}


def loss_of(logits, target, weight=None, mode=None, **keywords):
    """``mode``: the active classes of hard labels and of soft ones."""
    if mode is not None:
        for kind in ('hard', 'soft'):
            keywords[f'active_classes_mode_{kind}'] = mode
    options = {name: keywords.pop(name) for name in OPTIONS & {*keywords}}
    options = RegionLossOptions(**options)
    return jaccard_metric_loss(
        logits, target, weight, options=options, **keywords
    )


def loss_and_gradient(logits, target, *arguments, **keywords):
    logits = logits.detach().requires_grad_()
    loss = loss_of(logits, target, *arguments, **keywords)
    return loss.detach(), *torch.autograd.grad(loss, logits)
