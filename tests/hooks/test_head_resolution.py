"""Stock heads give the same losses and gradients from small logits."""

import copy
import inspect

import mmseg.models.decode_heads as heads
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_jml.head_resolution.losses import (
    at_head_resolution,
    loss_modules,
    why_full_resolution,
)
from tests.tolerances import UPSAMPLED
from tests.zoo.stacks import stack

CLASSES = 5
CE = dict(type='CrossEntropyLoss')
JML = dict(type='mmseg_jml.JaccardMetricLoss')
JML_CE = dict(type='mmseg_jml.JaccardMetricCELoss')
BOUNDARY = dict(mode='boundary', epsilon=0.5, kernel_size=3)
KL = dict(type='mmseg_jml.KLDivergenceLoss')
SMOOTHED = dict(JML_CE, label_smoothing=BOUNDARY)
WEIGHTS = [0.5, 1.0, 2.0, 0.1, 3.0]
FCN = dict(type='FCNHead', in_channels=4, in_index=-1, num_convs=1)
ONE_CHANNEL = dict(num_classes=2, out_channels=1)
SEVERAL = dict(in_channels=[4, 4, 4], in_index=[0, 1, 2])
OCR = dict(ocr_channels=4, input_transform='resize_concat')
HEADS = {
    'FCN': FCN,
    'DANet': dict(type='DAHead', in_channels=4, in_index=-1, pam_channels=4),
    'EncNet': dict(type='EncHead', num_codes=4, **SEVERAL),
    'STDC': dict(FCN, type='STDCHead'),
    'SegFormer': dict(type='SegformerHead', **SEVERAL),
    'OCRNet': dict(SEVERAL, type='OCRHead', **OCR),
}
LOSSES = {
    'CE': CE,
    'CE, mean over labels': dict(CE, avg_non_ignore=True, loss_weight=0.4),
    'CE with class weights': dict(CE, class_weight=WEIGHTS),
    'JML': JML,
    'JML and CE': dict(JML_CE, avg_non_ignore=False, loss_weight=0.4),
    'smoothed JML and CE': SMOOTHED,
    'JML of sigmoids': dict(JML, use_sigmoid=True),
    'smoothed sigmoids': dict(SMOOTHED, use_sigmoid=True, norm=2),
    'KL, which has no parts': KL,
    'KL and JML': [KL, JML],
    'two': [dict(CE, loss_weight=0.3), dict(JML, class_weight=WEIGHTS)],
    'two of one name': [
        dict(CE, loss_name='loss_sum'),
        dict(CE, class_weight=WEIGHTS, loss_name='ce'),
        dict(JML_CE, loss_name='loss_sum'),
    ],
}


def build(entry, loss, **options):
    options = dict(num_classes=CLASSES, channels=4) | entry | options
    options.update(dropout_ratio=0, norm_cfg=dict(type='BN'))
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = MODELS.build(dict(options, loss_decode=copy.deepcopy(loss)))
    with torch.no_grad():  # zeros make attention blind
        for parameter in head.parameters():
            parameter.normal_()
    return head.double()


def features(sizes=((13, 9), (7, 5), (4, 3))):
    return [torch.randn(2, 4, *size, dtype=torch.float64) for size in sizes]


def samples(size=(26, 19), ignored=255):
    made = []
    for _ in range(2):
        label = torch.randint(CLASSES, (1, *size))
        label[:, :5] = ignored
        made.append(SegDataSample(gt_sem_seg=PixelData(data=label)))
    return made


def losses_and_gradients(head, inputs, batch):
    """What a head gives, and gradients of its parameters and inputs."""
    head = copy.deepcopy(head)
    inputs = [value.clone().requires_grad_() for value in inputs]
    previous = torch.ones(2, CLASSES, *inputs[0].shape[2:]).double()
    cascade = 'prev_output' in inspect.signature(head.loss).parameters
    between = [previous] if cascade else []
    losses = head.loss(inputs, *between, batch, None)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    tensors = [*head.parameters(), *inputs]
    gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
    return losses, gradients


def assert_same(head, inputs=None, batch=None, tolerance=UPSAMPLED):
    torch.manual_seed(1)
    inputs, batch = inputs or features(), batch or samples()
    expected, their_gradients = losses_and_gradients(head, inputs, batch)
    handles = at_head_resolution(head)
    found, our_gradients = losses_and_gradients(head, inputs, batch)
    for handle in handles:
        handle.remove()
    assert [name for name in found if name in expected] == list(expected)
    more = {name.rpartition('.')[2] for name in found.keys() - expected}
    assert more <= {'ce', 'jml'}
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        # mmseg counts accuracies in float32
        error = 1e-6 if 'acc' in name else tolerance
        assert found[name].item() == pytest.approx(value.item(), error, abs=0)
    assert len(our_gradients) == len(their_gradients) > 0
    scale = max(float(gradient.abs().max()) for gradient in their_gradients)
    assert scale > 0
    allowed = dict(rtol=tolerance, atol=tolerance * scale)
    for ours, theirs in zip(our_gradients, their_gradients):
        torch.testing.assert_close(ours, theirs, **allowed)
    return found


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def takes_no_ignored_pixel(loss):
    """mmsegmentation 1.2.2 looks class weights up by the label 255."""
    return stack() == 'openmmlab' and any(
        entry['type'] == 'CrossEntropyLoss' and 'class_weight' in entry
        for entry in (loss if isinstance(loss, list) else [loss])
    )


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('loss', LOSSES)
def test_losses(loss, align_corners):
    head = build(FCN, LOSSES[loss], align_corners=align_corners)
    ignored = 0 if takes_no_ignored_pixel(LOSSES[loss]) else 255
    assert why_full_resolution(head) is None
    assert_same(head, batch=samples(ignored=ignored))


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize('loss', ['CE', 'two'])
def test_heads(name, loss):
    head = build(HEADS[name], LOSSES[loss])
    assert why_full_resolution(head) is None
    forwards = []
    for module in loss_modules(head):
        module.register_forward_hook(
            lambda module, args, value: forwards.append(args[0].shape)
        )
    assert_same(head)
    passes = len(forwards) // 2
    assert {shape[2:] for shape in forwards[:passes]} == {(26, 19)}
    assert all(shape[2] <= 13 for shape in forwards[passes:])


@pytest.mark.parametrize(
    'size', [(13, 9), (13, 17), (52, 36), (31, 22)], ids=str
)
def test_sizes(size):
    head = build(FCN, LOSSES['two'], align_corners=True)
    assert_same(head, batch=samples(size))


def test_logits_larger_than_the_label(caplog):
    """They are resized to it, as without the hook; the log says it once."""
    head = build(FCN, LOSSES['two'])
    found = assert_same(head, batch=samples((6, 19)))
    assert found.keys() == {'loss_ce', 'loss_jml', 'acc_seg'}


# torch's compiler asks for it
@pytest.mark.filterwarnings('ignore:The .grad attribute:UserWarning')
def test_compiled():
    head = build(FCN, LOSSES['two'])
    inputs, batch = features(), samples()
    expected = head.loss(inputs, batch, None)
    at_head_resolution(head)
    found = torch.compile(head.loss, backend='eager')(inputs, batch, None)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_everything_ignored():
    head = build(FCN, [dict(CE, avg_non_ignore=True), JML])
    batch = samples()
    for sample in batch:
        sample.gt_sem_seg.data.fill_(255)
    stock, _ = losses_and_gradients(head, features(), batch)
    at_head_resolution(head)
    losses, gradients = losses_and_gradients(head, features(), batch)
    assert losses['loss_ce'] == losses['loss_jml'] == 0
    assert losses['acc_seg'] == stock['acc_seg']
    assert not any(gradient.any() for gradient in gradients)


def test_two_terms_are_logged_apart():
    head = build(FCN, dict(JML_CE, loss_weight=2.0))
    found = assert_same(head)
    assert list(found) == ['loss_jml_ce', 'acc_seg', 'ce', 'jml']
    assert not found['ce'].requires_grad
    doubled = 2 * (found['ce'] + found['jml'])
    torch.testing.assert_close(doubled, found['loss_jml_ce'])
    apart = build(FCN, [dict(CE, avg_non_ignore=True), JML])
    apart.load_state_dict(head.state_dict())
    parts = assert_same(apart)
    torch.testing.assert_close(0.25 * parts['loss_ce'], found['ce'])
    torch.testing.assert_close(0.75 * parts['loss_jml'], found['jml'])


class OtherHead(heads.FCNHead):
    def loss_by_feat(self, seg_logits, batch_data_samples):
        return dict(loss=seg_logits.sum())


class TwiceHead(heads.FCNHead):
    def loss_by_feat(self, seg_logits, batch_data_samples):
        losses = super().loss_by_feat(seg_logits, batch_data_samples)
        return {name: 2 * value for name, value in losses.items()}


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        (dict(sampler=dict(type='OHEMPixelSampler')), 'OHEMPixelSampler'),
        (dict(loss=[CE, dict(type='DiceLoss')]), 'DiceLoss takes no smaller'),
        (dict(loss=dict(type='OhemCrossEntropy')), 'OhemCrossEntropy takes'),
        (dict(loss=dict(CE, use_sigmoid=True)), 'one of sigmoids'),
        (dict(loss=dict(CE, reduction='sum')), "reduction='sum'"),
        (dict(loss=dict(JML, ignore_index=0)), 'ignores another label'),
        (
            dict(loss=dict(type='mmseg_jml.ChannelWiseDivergenceLoss')),
            'ChannelWiseDivergenceLoss takes no smaller',
        ),
        (
            dict(ONE_CHANNEL, loss=dict(JML, use_sigmoid=True)),
            'single channel',
        ),
    ],
)
def test_reasons(options, reason):
    options = dict(options)
    head = build(FCN, options.pop('loss', CE), **options)
    assert reason in why_full_resolution(head)


def test_heads_of_their_own():
    head = build(FCN, CE)
    head.__class__ = OtherHead
    assert 'of its own' in why_full_resolution(head)
    head.__class__ = TwiceHead
    assert why_full_resolution(head) is None
    assert_same(head)
    head.loss_by_feat = lambda *args: {}
    assert 'of its own' in why_full_resolution(head)


def test_another_mmseg_is_noticed(monkeypatch):
    def loss_by_feat(self, seg_logits, batch_data_samples):
        return {}

    head = build(FCN, CE)
    assert why_full_resolution(head) is None
    monkeypatch.setattr(BaseDecodeHead, 'loss_by_feat', loss_by_feat)
    assert 'is not that of mmsegmentation' in why_full_resolution(head)


def test_methods_are_given_back():
    head, other = build(FCN, [CE, JML]), build(FCN, [CE, JML])
    classes = [type(module) for module in head.modules()]
    handles = at_head_resolution(head)
    assert [type(module) for module in other.modules()] == classes
    assert type(head) is not heads.FCNHead
    assert type(head).__name__ == 'FCNHead'
    assert isinstance(loss_modules(head)[0], CrossEntropyLoss)
    for handle in handles:
        handle.remove()
    assert [type(module) for module in head.modules()] == classes
