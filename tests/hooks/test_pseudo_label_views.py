"""Boxes of labelled images, and channels that one of two views lacks."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.hooks import Hook
from PIL import Image
from torch import nn

from mmseg_jml.supervision.feature_dropout import FeatureDropout
from tests.tolerances import GRADIENTS

from .distillation import Lessons, build, forward, train
from .semi import (
    PLAIN,
    PSEUDO,
    THRESHOLD,
    by_hand,
    certain,
    learn,
    unlabeled,
    without_chance,
)
from .test_pseudo_label_gradients import not_padded, stock_entropy


class Features(Hook):
    """Keeps what heads are given in each pass in training."""

    def before_train(self, runner):
        self.passes = []
        runner.model.backbone.register_forward_hook(self._keep)

    def _keep(self, backbone, args, output):
        if torch.is_grad_enabled():
            self.passes.append([level.detach() for level in output])


def factors_by_hand(model, images, given) -> list[torch.Tensor]:
    """(2 N, C, 1, 1) for each level: what its channels were multiplied by."""
    with torch.no_grad():
        plain = model.backbone(images)
    factors = []
    for level, changed in zip(plain, given):
        factor = changed.abs().sum((2, 3)) / level.abs().sum((2, 3))
        factor = torch.where(factor.isnan(), 1.0, factor).round()
        expected = level * factor[:, :, None, None]
        torch.testing.assert_close(changed, expected, atol=1e-5, rtol=1e-4)
        factors.append(factor[:, :, None, None])
    return factors


def test_gradients_with_dropout_are_those_of_a_loop_written_by_hand(
    cfg, pictures
):
    """Labels as in a run without; heads get 2 m x and 2 (1 - m) x."""
    without_chance(cfg)
    certain(cfg)
    cfg.model.decode_head.loss_decode = dict(type='CrossEntropyLoss')
    features, lessons = Features(), Lessons()
    record, steps = learn(
        cfg,
        pictures,
        features,
        lessons,
        views=2,
        feature_dropout=1.0,
        threshold=THRESHOLD,
        soft=False,
        **PLAIN,
    )
    images = steps.images[0]
    labelled, strong = features.passes[:2]
    student, twin = (build(cfg.model) for _ in range(2))
    for model in (student, twin):
        model.load_state_dict(record.start)
        model.train()
    data = student.data_preprocessor(record.batches[0], training=True)
    label = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
    main, aux = forward(student, data['inputs'])
    supervised = stock_entropy(main, label) + 0.4 * stock_entropy(aux, label)
    with torch.no_grad():
        known = forward(twin.eval(), images)[0]
    twin.train()
    both = images.repeat(2, 1, 1, 1)
    factors = factors_by_hand(twin, both, strong)
    for factor in factors:
        first, second = factor.chunk(2)
        assert torch.equal(first + second, torch.full_like(first, 2))
        assert {*first.unique().tolist()} == {0, 2}
    levels = [
        level * factor
        for level, factor in zip(student.backbone(both), factors)
    ]
    main, aux = (
        F.interpolate(head(levels), both.shape[2:], mode='bilinear')
        for head in (student.decode_head, student.auxiliary_head)
    )
    valid = not_padded(images, steps.samples[0])
    keep = valid & (known.softmax(1).max(1).values >= THRESHOLD)
    share = keep.sum() / valid.sum()
    assert 0 < share < 1
    twice = known.repeat(2, 1, 1, 1), keep.repeat(2, 1, 1)
    ce, jml = by_hand(main, *twice, soft=False)
    aux_ce, _ = by_hand(aux, *twice, soft=False)
    unsupervised = share * (0.25 * ce + 0.75 * jml + 0.4 * aux_ce)
    (0.5 * supervised + 0.5 * unsupervised).backward()
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(
            record.gradients[0][name], parameter.grad, **GRADIENTS
        )
    # labels are learned with all channels
    factors_by_hand(twin, data['inputs'], labelled)
    plain = twin.backbone(data['inputs'])
    torch.testing.assert_close(labelled[2], plain[2].detach())


def test_dropout_of_nested_features():
    """What is no map stays, and so do the kinds of containers."""

    class Nested(nn.Module):
        def forward(self, x):
            return [x, (x[:, :, :1], x.mean((2, 3))), 'text']

    nested, x = Nested(), torch.rand(4, 6, 2, 2) + 0.1
    dropout = FeatureDropout(nested, 1.0)
    with dropout.active():
        large, (small, token), text = nested(x)
    assert text == 'text'
    assert torch.equal(token, x.mean((2, 3)))
    factor = (large / x).round()
    assert torch.equal(large, factor * x)
    assert torch.equal(small, large[:, :, :1])
    assert torch.equal(nested(x)[0], x)
    dropout.remove()
    with dropout.active():
        assert torch.equal(nested(x)[0], x)


def test_backbone_without_maps():
    dropout = FeatureDropout(nn.Flatten(), 1.0)
    with pytest.raises(ValueError, match='got Tensor without any. Set feat'):
        dropout_of(dropout, nn.Flatten())


def dropout_of(dropout, module):
    with dropout.active():
        dropout._drop(module, (), torch.ones(2, 3))


def with_ignored_labels(cfg) -> None:
    for path in (Path(cfg.train_dataloader.dataset.data_root) / 'masks').glob(
        '*.png'
    ):
        mask = np.array(Image.open(path))
        mask[::3] = 255
        Image.fromarray(mask).save(path)


@pytest.mark.parametrize('soft', [True, False])
@pytest.mark.parametrize('batch_size', [1, 3])
def test_boxes_of_labelled_images(cfg, pictures, soft, batch_size):
    """Their labels are certain; where there is none, nothing counts."""
    certain(cfg)
    with_ignored_labels(cfg)
    lessons = Lessons()
    record, steps = learn(
        cfg,
        pictures,
        lessons,
        unlabeled_dataloader=unlabeled(pictures, batch_size=batch_size),
        cutmix_from='labelled',
        cutmix=1.0,
        views=2,
        soft=soft,
        threshold=THRESHOLD,
        distortions=[],
    )
    student = build(cfg.model)
    student.load_state_dict(record.start)
    data = student.data_preprocessor(record.batches[0], training=True)
    labelled = data['inputs']
    truth = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
    with torch.no_grad():
        known = forward(student.eval(), steps.images[0])[0].softmax(1)
    strong, targets, _ = lessons.found[0]
    target = targets['decode']
    if soft:
        probabilities = target.target.value.softmax(1)
    else:
        probabilities = F.one_hot(target.target.label, 3).movedim(-1, 1)
    counted = valid = 0
    for place, image in enumerate(strong.inputs):
        n = place % batch_size
        other = labelled[n % len(labelled)]
        box = (image == other).all(0) & (image != steps.images[0][n]).any(0)
        assert box.sum() > 0.01 * box.numel()
        assert torch.equal(image[:, ~box], steps.images[0][n][:, ~box])
        label = truth[n % len(labelled)]
        weight = target.weight[place] > 0
        assert torch.equal(weight[box], label[box] != 255)
        learned = box & weight
        assert torch.equal(
            probabilities[place][:, learned].float(),
            F.one_hot(label[learned], 3).T.float(),
        )
        own = not_padded(steps.images[0], steps.samples[0])[n]
        sure = own & (known[n].max(0).values >= THRESHOLD)
        assert torch.equal(weight[~box], sure[~box])
        if soft:
            torch.testing.assert_close(
                probabilities[place][:, ~box], known[n][:, ~box]
            )
        counted += int(weight.sum())
        valid += int(torch.where(box, label != 255, own).sum())
    assert float(target.share) == pytest.approx(counted / valid)
    log = Path(cfg.work_dir).glob('*/*.log')
    assert 'batch of one image' not in ''.join(p.read_text() for p in log)


def test_labelled_images_of_another_size(cfg, pictures):
    loader = unlabeled(pictures)
    loader['dataset']['pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='RandomCrop', crop_size=(24, 32)),
        dict(type='PackSegInputs'),
    ]
    cfg.model.data_preprocessor.update(size=None, size_divisor=8)
    hook = dict(
        type=PSEUDO, unlabeled_dataloader=loader, cutmix_from='labelled'
    )
    with pytest.raises(ValueError, match=r'one size .* \(32, 32\) and \(24'):
        train(copy.deepcopy(cfg), hook)
