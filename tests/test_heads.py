"""What the package knows of mmseg's heads."""

import pytest
import torch
from mmengine.model import BaseTTAModel, MMDistributedDataParallel
from mmseg.models.losses import (
    CrossEntropyLoss,
    DiceLoss,
    LovaszLoss,
    OhemCrossEntropy,
)
from torch import nn

from mmseg_jml.heads import unwrapped, uses_sigmoid
from mmseg_jml.losses import JaccardMetricCELoss, JaccardMetricLoss

SIGMOID = dict(use_sigmoid=True)


def head(*losses: nn.Module, channels: int = 3) -> nn.Module:
    made = nn.Module()
    made.out_channels = channels
    made.loss_decode = losses[0] if len(losses) == 1 else nn.ModuleList(losses)
    return made


@pytest.mark.parametrize(
    ('losses', 'expected'),
    [
        ([CrossEntropyLoss()], False),
        ([CrossEntropyLoss(**SIGMOID)], True),
        ([DiceLoss(), CrossEntropyLoss()], False),
        ([CrossEntropyLoss(), DiceLoss()], False),
        ([DiceLoss(), CrossEntropyLoss(**SIGMOID)], True),
        ([DiceLoss(use_sigmoid=False), CrossEntropyLoss(**SIGMOID)], True),
        ([LovaszLoss(reduction='none'), CrossEntropyLoss(**SIGMOID)], True),
        ([DiceLoss(), OhemCrossEntropy()], False),
        ([DiceLoss(), JaccardMetricCELoss()], False),
        ([DiceLoss(), JaccardMetricLoss()], False),
        ([DiceLoss(), JaccardMetricCELoss(**SIGMOID)], True),
        ([JaccardMetricLoss(**SIGMOID), CrossEntropyLoss()], False),
        ([DiceLoss()], True),
        ([DiceLoss(use_sigmoid=False)], False),
    ],
)
def test_cross_entropy_tells_whether_classes_exclude_each_other(
    losses, expected
):
    assert uses_sigmoid(head(*losses)) is expected


def test_one_channel_is_a_sigmoid():
    assert uses_sigmoid(head(CrossEntropyLoss(), channels=1))


class TTA(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        return data_samples_list


def test_segmentor_in_its_wrappers(monkeypatch):
    segmentor = nn.Linear(1, 1)
    segmentor.test_step = torch.nn.Identity()
    augmented = TTA(segmentor)
    distributed = object.__new__(MMDistributedDataParallel)
    nn.Module.__init__(distributed)
    distributed.module = augmented
    for model in (segmentor, augmented, distributed):
        assert unwrapped(model) is segmentor
