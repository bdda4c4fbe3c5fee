"""The functions of `mmseg_jml.functional` on the device of a test.

They are imported from here by their names; see `tests.devices.on_device`.
"""

from dataclasses import fields

import torch

from mmseg_jml import functional
from mmseg_jml.functional import RegionLossOptions
from tests import devices

LEVELS = dict(mIoUD=0.2, mIoUI=0.5, mIoUC=0.3)
OPTIONS = {field.name for field in fields(RegionLossOptions)}


def __getattr__(name):
    if name.startswith('_'):
        raise AttributeError(name)
    return devices.on_device(getattr(functional, name))


def loss_of(logits, target, weight=None, mode=None, **keywords):
    """The loss, with options of the region loss among the keywords.

    ``mode``: the active classes of hard labels and of soft ones.
    """
    if mode is not None:
        for kind in ('hard', 'soft'):
            keywords[f'active_classes_mode_{kind}'] = mode
    options = {name: keywords.pop(name) for name in OPTIONS & {*keywords}}
    keywords['options'] = RegionLossOptions(**options)
    loss = devices.on_device(functional.jaccard_metric_loss)
    return loss(logits, target, weight, **keywords)


def loss_and_gradient(logits, target, *arguments, **keywords):
    logits = logits.detach().requires_grad_()
    loss = loss_of(logits, target, *arguments, **keywords)
    return loss.detach(), *torch.autograd.grad(loss, logits)


def with_gradient(value, parameter):
    gradient = torch.autograd.grad(value, parameter, retain_graph=True)
    return value.detach(), *gradient
