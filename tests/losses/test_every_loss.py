"""What holds for every loss that a config names."""

from __future__ import annotations

import inspect

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmseg.registry import MODELS
from torch.testing import assert_close

from mmseg_jml import losses
from mmseg_jml.losses.loss_entry import LossEntry, takes_small_logits

ALL = [getattr(losses, name) for name in losses.__all__]
FOR_LABELS = [cls for cls in ALL if cls.takes_labels]
UPSAMPLING = [cls for cls in ALL if takes_small_logits(cls())]


def names(classes):
    return dict(argvalues=classes, ids=[cls.__name__ for cls in classes])


@pytest.fixture
def batch(device):
    """Logits and labels, all classes among them."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 6, 8, generator=generator).double()
    label = torch.randint(0, 3, (2, 6, 8), generator=generator)
    label[:, :2] = 255
    return logits.to(device).requires_grad_(), label.to(device)


@pytest.mark.parametrize('cls', **names(ALL))
def test_both_names_build_what_heads_can_ask(cls):
    for name in (cls.__name__, f'mmseg_jml.{cls.__name__}'):
        loss = MODELS.build(dict(type=name, loss_name='loss_own'))
        assert type(loss) is cls
        assert isinstance(loss, LossEntry)
        assert loss.loss_name == 'loss_own'
        assert loss.use_sigmoid is False
    assert 'loss' in cls().loss_name
    assert not cls().state_dict()


@pytest.mark.parametrize('cls', **names(ALL))
def test_misspelled_options_are_refused(cls):
    with pytest.raises(TypeError, match="did you mean 'loss_weight'"):
        cls(loss_wieght=1)
    with pytest.raises(ValueError, match='loss_weight .* got -1'):
        cls(loss_weight=-1)
    with pytest.raises(TypeError, match="loss_weight .* number.* got '1'"):
        cls(loss_weight='1')
    with pytest.raises(TypeError, match='loss_name to be a string.* got 3'):
        cls(loss_name=3)
    if 'impl' in inspect.signature(cls).parameters:
        with pytest.raises(ValueError, match="impl to be 'auto' .*'tritn'"):
            cls(impl='tritn')


@pytest.mark.parametrize('cls', **names(FOR_LABELS))
def test_heads_call_it_with_labels(cls, batch):
    logits, label = batch
    loss = cls()
    value = loss(logits, label, weight=None, ignore_index=255)
    assert value.shape == ()
    assert value > 0
    assert_close(loss(logits, label), value)  # DDRHead does not say 255
    assert_close(cls(loss_weight=0.5)(logits, label), value / 2)
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient[:, :, 2:].any()
    assert not gradient[:, :, :2].any()


@pytest.mark.parametrize('cls', **names(FOR_LABELS))
def test_hooks_call_it_with_soft_labels(cls, batch):
    """One-hot ones, which are the labels where every class is present."""
    logits, label = batch
    hot = F.one_hot(label % 3, 3).movedim(-1, 1).to(logits)
    weight = (label != 255).to(logits)
    assert_close(cls()(logits, hot, weight=weight), cls()(logits, label))


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('cls', **names(UPSAMPLING))
def test_smaller_logits_are_upsampled(cls, align_corners, batch):
    logits, label = batch
    weight = (label != 255).to(logits)
    target = F.one_hot(label % 3, 3).movedim(-1, 1).to(logits)
    small = logits[..., :3, :5]
    options = dict(mode='bilinear', align_corners=align_corners)
    full = F.interpolate(small, size=(6, 8), **options)
    results = []
    for pred in (small, full):
        value = cls()(pred, target, weight=weight, align_corners=align_corners)
        results.append((value, *torch.autograd.grad(value, logits)))
    assert_close(*results)
