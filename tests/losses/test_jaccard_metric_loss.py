"""The losses as mmseg builds and calls them."""

import json
import logging
import math
import pickle
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmseg.registry import MODELS
from torch import nn
from torch.testing import assert_close

from mmseg_jml.functional import jaccard_metric_loss
from mmseg_jml.losses import (
    JaccardMetricCELoss,
    JaccardMetricLoss,
    KLDivergenceLoss,
)
from mmseg_jml.losses.stock_arguments import note_once
from tests.devices import on_device
from tests.tolerances import FLOAT32

LOSSES = [JaccardMetricLoss, JaccardMetricCELoss]
BOTH = pytest.mark.parametrize('cls', LOSSES)


@pytest.fixture
def batch(device):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 6, 6, generator=generator)
    label = torch.randint(0, 3, (2, 6, 6), generator=generator)
    label[:, :2] = 255
    return logits.to(device).requires_grad_(), label.to(device)


@pytest.fixture
def log(caplog):
    note_once.cache_clear()
    caplog.set_level(logging.INFO, 'mmseg_jml')
    return caplog


@pytest.mark.parametrize(
    ('cls', 'loss_name'), zip(LOSSES, ['loss_jml', 'loss_jml_ce'])
)
def test_both_names_build(cls, loss_name):
    for name in (cls.__name__, f'mmseg_jml.{cls.__name__}'):
        loss = MODELS.build(dict(type=name))
        assert type(loss) is cls
        assert loss.loss_name == loss_name


@BOTH
def test_stock_entries_of_the_zoo_build(cls):
    """Every keyword that a merged stock entry leaves behind."""
    entry = dict(use_sigmoid=False, loss_weight=0.4, class_weight=[1.0] * 3)
    entry.update(loss_name='loss_ce', avg_non_ignore=False, reduction='mean')
    entry.update(use_mask=False, thres=0.9, min_kept=131072, ignore_label=255)
    loss = cls(**entry)
    assert loss.loss_name == 'loss_ce'
    assert loss.loss_weight == 0.4


def test_keywords_without_a_meaning_are_said_once(log):
    for _ in range(2):
        JaccardMetricLoss(thres=0.9, min_kept=10)
    first, second = log.messages
    assert 'accepts thres and does not use it' in first
    assert 'accepts min_kept' in second


def test_a_factor_of_zero_is_the_least_one():
    """By hand: four pixels of log 2 each, over the float32 epsilon."""
    loss = JaccardMetricCELoss(ce_weight=1.0, jml_weight=0.0)
    label = torch.zeros(1, 2, 2, dtype=torch.long)
    value = loss(torch.zeros(1, 2, 2, 2), label, avg_factor=0.0)
    expected = 4 * math.log(2) / torch.finfo(torch.float32).eps
    assert value.item() == pytest.approx(expected, rel=FLOAT32)
    ignored = torch.full_like(label, 255)
    assert loss(torch.zeros(1, 2, 2, 2), ignored, avg_factor=0.0) == 0


def test_avg_factor_is_said_once_where_it_has_no_meaning(batch, log):
    loss = JaccardMetricLoss()
    assert loss(*batch, avg_factor=7.0) == loss(*batch)
    assert len(log.messages) == 1


def smoothing(**arguments):
    return dict(label_smoothing=arguments)


SHARE = r'epsilon to be in \[0, 1\], but got '
ODD = 'kernel_size to be odd and at least 3, but got '
TYPE_ERRORS = {
    "got loss_wieght=1; did you mean 'loss_weight'": dict(loss_wieght=1),
    "got gamma_neg=4; did you mean 'gamma'.* _delete_=True": dict(gamma_neg=4),
    'got lovasz=True; its options are .*loss_weight, ': dict(lovasz=True),
    'label_smoothing to be a dict': dict(label_smoothing=0.1),
    "gamma to be a number, but got '1'": dict(gamma='1'),
    "ignore_index to be an integer, but got 'x'": dict(ignore_index='x'),
    'ignore_index .* got True': dict(ignore_index=True),
    'ignore_label to be an integer, but got 0.5': dict(ignore_label=0.5),
}
VALUE_ERRORS = {
    "Expected reduction='mean' for .*, but got 'none': an index": dict(
        reduction='none'
    ),
    "got 'sum'": dict(reduction='sum'),
    'Expected use_mask=False': dict(use_mask=True),
    'numbers >= 0': dict(class_weight=[1.0, -1.0]),
    r'class_weight .* got \[\]': dict(class_weight=[]),
    r'class_weight .* got \[\[1': dict(class_weight=[[1.0]]),
    "class_weight .* got .'a'": dict(class_weight=['a']),
    'class_weight .* got {': dict(class_weight=dict(a=1)),
    'smooth to be at least 0, but got -1': dict(smooth=-1),
    'mode .* got None': smoothing(epsilon=1),
    r"keys \['mode', 'epsilon'\], but got also \['kernel_size'\]": smoothing(
        mode='uniform', kernel_size=3
    ),
    SHARE + '2': smoothing(mode='uniform', epsilon=2),
    SHARE + "'half'; epsilon=0.5": smoothing(
        mode='neighbours', epsilon='half'
    ),
    r"mode to be one of .*'neighbours'.* but got \['neigh": smoothing(
        mode=['neighbours']
    ),
    ODD + '3.5': smoothing(mode='neighbours', kernel_size=3.5),
    ODD + '2': smoothing(mode='boundary', kernel_size=2),
}
# What the factors of two terms alone can be wrong about.
TERM_ERRORS = {
    'ce_weight .* at least 0, .* got -1': dict(ce_weight=-1),
    'jml_weight to be at least 0': dict(jml_weight=-1),
    'got 0 for both; to': dict(ce_weight=0, jml_weight=0),
}


@BOTH
@pytest.mark.parametrize('message', [*TYPE_ERRORS, *VALUE_ERRORS])
def test_constructor_errors(cls, message):
    error = TypeError if message in TYPE_ERRORS else ValueError
    with pytest.raises(error, match=message):
        cls(**{**TYPE_ERRORS, **VALUE_ERRORS}[message])


@pytest.mark.parametrize('message', TERM_ERRORS)
def test_factors_of_the_two_terms(message):
    with pytest.raises(ValueError, match=message):
        JaccardMetricCELoss(**TERM_ERRORS[message])
    with pytest.raises(TypeError, match="did you mean 'jml_weight'"):
        JaccardMetricCELoss(jml_wieght=1)


@pytest.mark.parametrize('cls', [*LOSSES, KLDivergenceLoss])
def test_a_factor_of_zero_is_allowed_and_a_negative_one_is_not(cls, batch):
    assert cls(loss_weight=0.0)(*batch) == 0
    with pytest.raises(ValueError, match='loss_weight .* least 0, .* got -1'):
        cls(loss_weight=-1)
    with pytest.raises(TypeError, match="did you mean 'use_sigmoid'"):
        cls(use_sigmod=True)


def test_a_sum_over_pixels_has_no_meaning(batch):
    with pytest.raises(ValueError, match="reduction_override .* got 'sum'"):
        JaccardMetricLoss()(*batch, reduction_override='sum')


def test_a_label_of_255_is_ignored_by_heads_that_do_not_say_so(batch):
    """DDRHead and PIDHead call without ignore_index."""
    loss = JaccardMetricLoss()
    assert loss(*batch) == loss(*batch, ignore_index=255)


def test_ignore_index_of_head_and_constructor_both_count(batch):
    logits, label = batch
    weight = ((label != 255) & (label != 0)).float()
    expected = jaccard_metric_loss(logits, label, weight)
    for arguments in (dict(ignore_index=0), dict(ignore_label=0)):
        value = JaccardMetricLoss(**arguments)(logits, label)
        assert_close(value, expected)
    label = label.clamp(max=2)
    loss = JaccardMetricLoss(ignore_index=0)
    value = loss(logits, label, ignore_index=None)
    expected = jaccard_metric_loss(logits, label, (label != 0).float())
    assert_close(value, expected)


def test_cross_entropy_part_is_torchs(batch):
    logits = batch[0]
    ours = JaccardMetricCELoss(1.0, 0.0, class_weight=[1.0, 0.5, 3.0])
    weight = logits.new_tensor([1.0, 0.5, 3.0])
    expected = F.cross_entropy(*batch, weight, ignore_index=255)
    assert_close(ours.to(logits)(*batch), expected)


@pytest.mark.parametrize('avg_non_ignore', [False, True])
@pytest.mark.parametrize('avg_factor', [None, 17.0])
@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``:UserWarning')
def test_cross_entropy_part_divides_as_mmsegs(
    batch, avg_non_ignore, avg_factor, use_sigmoid
):
    options = dict(avg_non_ignore=avg_non_ignore, use_sigmoid=use_sigmoid)
    stock = MODELS.build(dict(options, type='CrossEntropyLoss'))
    ours = JaccardMetricCELoss(1.0, 0.0, **options)
    arguments = dict(ignore_index=255, avg_factor=avg_factor)
    assert_close(ours(*batch, **arguments), stock(*batch, **arguments))


def test_two_terms_are_the_sum_of_one_each(batch):
    def value(cls, *weights):
        loss = cls(*weights, class_weight=[1.0, 2.0, 0.5])
        return loss.to(batch[0])(*batch)

    entropy = value(JaccardMetricCELoss, 0.3, 0)
    index = value(JaccardMetricCELoss, 0, 0.6)
    assert_close(value(JaccardMetricCELoss, 0.3, 0.6), entropy + index)
    assert_close(index, 0.6 * value(JaccardMetricLoss))


@BOTH
def test_class_weight_of_zero_silences_a_class(cls, batch):
    """Only pixels that could belong to the other classes move."""
    logits, _ = batch
    label = torch.zeros(2, 6, 6, dtype=torch.long, device=logits.device)
    loss = cls(class_weight=[0.0, 1.0, 1.0]).to(logits)
    loss(logits, label).backward()
    assert not logits.grad.any()


@BOTH
def test_ranking_of_pixels_follows_cross_entropy(cls, batch):
    """OHEM samplers call with reduction_override='none' and index it."""
    logits, label = batch
    options = dict(weight=None, ignore_index=255)
    own = cls()(logits, label, reduction_override='none', **options)
    entropy = F.cross_entropy(logits, label, reduction='none', **options)
    counted = label != 255
    assert own.shape == label.shape
    assert not own[~counted].any()
    # in the order of one, the other rises too, but for rounding
    assert entropy[counted][own[counted].argsort()].diff().min() > -1e-5


def test_a_pixels_own_term_is_its_jaccard_distance(device):
    """By hand: p = (.25, .75), label 0, so that min/max = .25/1.75."""
    logits = torch.tensor([[0.25, 0.75]]).log().view(1, 2, 1, 1)
    loss = on_device(JaccardMetricLoss(loss_weight=2.0))
    label = torch.zeros(1, 1, 1).long()
    own = loss(logits, label, reduction_override='none')
    assert_close(own.item(), 2 * (1 - 0.25 / 1.75))


@BOTH
def test_heads_add_losses_of_one_name_in_place(cls, batch):
    loss = cls()(*batch)
    loss += cls()(*batch)
    loss.backward()
    assert batch[0].grad.abs().sum() > 0


def test_sigmoid_heads_take_labels_per_class(batch):
    logits, label = batch
    hot = torch.stack([label == c for c in range(3)], 1)
    keep = (label != 255).float()
    loss = JaccardMetricLoss(use_sigmoid=True, active_classes_mode_hard='ALL')
    assert_close(loss(logits, label), loss(logits, hot.float(), weight=keep))
    # image-level labels of EncHead: integers, the shape of the logits
    mean, image = logits.mean((2, 3)), hot.flatten(2).any(2)
    assert_close(loss(mean, image.long()), loss(mean, image.float()))


@BOTH
def test_class_weight_moves_with_the_model_and_stays_out_of_checkpoints(
    cls, device
):
    head = nn.ModuleDict(dict(loss_decode=cls(class_weight=[1.0, 2.0])))
    assert head.state_dict() == {}
    weight = head.to(device, torch.float64).loss_decode.class_weight
    assert weight.dtype == torch.float64
    assert weight.device.type == device.type


@pytest.mark.parametrize('suffix', ['json', 'npy', 'yaml'])
def test_class_weight_files(tmp_path, suffix):
    path = tmp_path / f'weight.{suffix}'
    if suffix == 'npy':
        np.save(path, np.array([1.0, 2.5]))
    else:
        text = '- 1.0\n- 2.5\n' if suffix == 'yaml' else json.dumps([1.0, 2.5])
        path.write_text(text)
    loss = JaccardMetricLoss(class_weight=str(path))
    assert loss.class_weight.tolist() == [1.0, 2.5]


class Payload:
    """Runs when unpickled."""

    def __reduce__(self):
        return pytest.fail, ('the file ran code',)


def test_a_class_weight_file_cannot_run_code(tmp_path):
    path = tmp_path / 'weight.pkl'
    path.write_bytes(pickle.dumps(Payload()))
    message = r'of a \.npy, .*weight\.pkl.*numpy\.save or json\.dump'
    with pytest.raises(ValueError, match=message):
        JaccardMetricLoss(class_weight=str(path))


def test_yaml_is_read_only_where_it_is_installed(tmp_path, monkeypatch):
    path = tmp_path / 'weight.yaml'
    path.write_text('[1.0, 2.5]')
    monkeypatch.setitem(sys.modules, 'yaml', None)
    with pytest.raises(ImportError, match='PyYAML .* pip install pyyaml'):
        JaccardMetricLoss(class_weight=str(path))
