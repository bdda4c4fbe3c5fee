"""Strong views: boxes of other images, and channels that one view lacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.hooks import Hook
from torch import nn

from mmseg_jml.supervision.strong_views import channels_dropped
from tests.tolerances import GRADIENTS, TENSORS_TWO_WAYS

from . import runs, semi
from .test_pseudo_label_hook import labels_by_hand


def test_views(cfg, pictures):
    """Two strong views of each image, of the same pixels and labels."""
    semi.certain(cfg)
    options = dict(views=2, soft=False, threshold=semi.THRESHOLD, cutmix=0.0)
    _, steps = semi.learn(cfg, pictures, **options)
    (inputs, _, outputs), targets, _ = steps.found[0]
    soft = targets['decode']
    weak = steps.images[0]
    assert inputs.shape == (4, *weak.shape[1:])
    assert outputs['decode'].logits.shape[0] == 4
    first, second = inputs.chunk(2)
    for view in (first, second):
        assert not torch.equal(view, weak)
    assert not torch.equal(first, second)
    for both in (soft.target.label, soft.weight):
        assert torch.equal(*both.chunk(2))


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
        torch.testing.assert_close(changed, expected, **TENSORS_TWO_WAYS)
        factors.append(factor[:, :, None, None])
    return factors


def test_gradients_with_dropout_are_those_of_a_loop_written_by_hand(
    cfg, pictures
):
    """Labels as in a run without; heads get 2 m x and 2 (1 - m) x."""
    runs.without_chance(cfg)
    semi.certain(cfg)
    cfg.model.decode_head.loss_decode = dict(type='CrossEntropyLoss')
    features = Features()
    options = dict(views=2, feature_dropout=1.0, soft=False, **semi.PLAIN)
    options['threshold'] = semi.THRESHOLD
    record, steps = semi.learn(cfg, pictures, features, **options)
    images = steps.images[0]
    labelled, strong = features.passes[:2]
    student, twin = runs.started(cfg, record), runs.started(cfg, record)
    supervised = labels_by_hand(student, record.batches[0])
    known = runs.answer(twin, images)
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
    valid = semi.not_padded(images, steps.samples[0])
    keep = valid & (known.softmax(1).max(1).values >= semi.THRESHOLD)
    share = keep.sum() / valid.sum()
    assert 0 < share < 1
    twice = known.repeat(2, 1, 1, 1), keep.repeat(2, 1, 1)
    ce, jml = semi.by_hand(main, *twice, soft=False)
    aux_ce, _ = semi.by_hand(aux, *twice, soft=False)
    unsupervised = share * (0.25 * ce + 0.75 * jml + 0.4 * aux_ce)
    (0.5 * supervised + 0.5 * unsupervised).backward()
    runs.assert_gradients(record.gradients[0], student, **GRADIENTS)
    # labels are learned with all channels
    inputs, _ = runs.prepared(twin, record.batches[0])
    factors_by_hand(twin, inputs, labelled)
    plain = twin.backbone(inputs)
    torch.testing.assert_close(labelled[2], plain[2].detach())


def test_dropout_of_nested_features():
    """What is no map stays, and so do the kinds of containers."""

    class Nested(nn.Module):
        def forward(self, x):
            return [x, (x[:, :, :1], x.mean((2, 3))), 'text']

    nested, x = Nested(), torch.rand(4, 6, 2, 2) + 0.1
    with channels_dropped(nested, 1.0):
        large, (small, token), text = nested(x)
    assert text == 'text'
    assert torch.equal(token, x.mean((2, 3)))
    factor = (large / x).round()
    assert torch.equal(large, factor * x)
    assert torch.equal(small, large[:, :, :1])
    assert torch.equal(nested(x)[0], x)
    with channels_dropped(nested, 0.0):
        assert torch.equal(nested(x)[0], x)


def test_backbone_without_maps():
    flatten = nn.Flatten()
    with channels_dropped(flatten, 1.0), pytest.raises(
        ValueError, match='got Tensor without any. Set feat'
    ):
        flatten(torch.ones(2, 3))


@pytest.mark.parametrize('soft', [True, False])
@pytest.mark.parametrize('batch_size', [1, 3])
def test_boxes_of_labelled_images(cfg, pictures, tmp_path, soft, batch_size):
    """Their labels are certain; where there is none, nothing counts."""
    semi.certain(cfg)
    ignored = runs.ROW % 3 == 0
    noise = tmp_path / 'noise'
    runs.change_masks(noise, lambda mask: np.where(ignored, 255, mask))
    loader = semi.unlabeled(pictures, batch_size=batch_size)
    options = dict(threshold=semi.THRESHOLD, soft=soft, views=2)
    options.update(cutmix_from='labelled', cutmix=1.0, distortions=[])
    record, steps = semi.learn(cfg, loader, **options)
    student = runs.started(cfg, record)
    labelled, truth = runs.prepared(student, record.batches[0])
    weak = steps.images[0]
    known = runs.answer(student, weak).softmax(1)
    strong, targets, _ = steps.found[0]
    target = targets['decode']
    if soft:
        probabilities = target.target.value.softmax(1)
    else:
        probabilities = F.one_hot(target.target.label, 3).movedim(-1, 1)
    counted = valid = 0
    for place, image in enumerate(strong.inputs):
        n = place % batch_size
        other = labelled[n % len(labelled)]
        box = (image == other).all(0) & (image != weak[n]).any(0)
        assert box.sum() > 0.01 * box.numel()
        assert torch.equal(image[:, ~box], weak[n][:, ~box])
        label = truth[n % len(labelled)]
        weight = target.weight[place] > 0
        assert torch.equal(weight[box], label[box] != 255)
        learned = box & weight
        expected = F.one_hot(label[learned], 3).T.float()
        found = probabilities[place]
        assert torch.equal(found[:, learned].float(), expected)
        own = semi.not_padded(weak, steps.samples[0])[n]
        sure = own & (known[n].max(0).values >= semi.THRESHOLD)
        assert torch.equal(weight[~box], sure[~box])
        if soft:
            torch.testing.assert_close(found[:, ~box], known[n][:, ~box])
        counted += int(weight.sum())
        valid += int(torch.where(box, label != 255, own).sum())
    assert float(target.share) == pytest.approx(counted / valid)
    assert 'batch of one image' not in runs.log_text(cfg)


def test_labelled_images_of_another_size(cfg, pictures):
    crop = dict(type='RandomCrop', crop_size=(24, 32))
    loader = semi.unlabeled(pictures, runs.LOAD[0], crop, runs.PACK)
    cfg.model.data_preprocessor.update(size=None, size_divisor=8)
    match = r'one size .* \(32, 32\) and \(24'
    runs.refuse(cfg, match, semi.pseudo(loader, cutmix_from='labelled'))
