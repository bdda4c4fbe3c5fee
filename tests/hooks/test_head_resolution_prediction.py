"""Evaluations without full-size logits, beside stock ones, in a Runner."""

from __future__ import annotations

import copy
from operator import neg
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.loops import ValLoop
from mmseg.evaluation import IoUMetric
from mmseg.models.decode_heads import FCNHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import HOOKS, LOOPS, METRICS, MODELS, VISUALIZERS
from mmseg.visualization import SegLocalVisualizer
from PIL import Image
from torch import nn

from mmseg_jml.head_resolution import prediction
from mmseg_jml.head_resolution.prediction import predict_classes
from mmseg_jml.heads import unwrapped
from mmseg_jml.hooks import HeadResolutionHook
from tests.metrics.evaluation import (
    CALIBRATION,
    IMAGES,
    IOU,
    augmented,
    evaluation_config,
    log_of,
    write_scenes,
)
from tests.tiny_run import tiny_config
from tests.tolerances import MIOU_LATER

from . import runs

SMALL = "classes from logits of the head's resolution"
FULL = 'classes from full-size logits, because '


def register(registry, name, base, method, change=lambda value: value):
    """A class with a method of its own, which might read anything."""

    def own(self, *args, **kwargs):
        return change(getattr(base, method)(self, *args, **kwargs))

    registry.register_module(name, module=type(name, (base,), {method: own}))


register(HOOKS, 'ForeignHook', Hook, 'after_val_iter')
register(METRICS, 'ForeignIoU', IoUMetric, 'process')
register(METRICS, 'SubclassedIoU', IoUMetric, 'compute_metrics')
register(LOOPS, 'ForeignLoop', ValLoop, 'run_iter')
register(VISUALIZERS, 'ForeignDrawing', SegLocalVisualizer, 'add_datasample')
register(MODELS, 'ForeignSegmentor', EncoderDecoder, 'inference', neg)
register(MODELS, 'ForeignHead', FCNHead, 'predict', neg)


@pytest.fixture
def cfg(tmp_path, device):
    write_scenes(tmp_path / 'scenes')
    cfg = evaluation_config(tmp_path / 'scenes', tmp_path / 'run')
    cfg.model.decode_head.update(in_index=0, in_channels=16)
    cfg.model.data_preprocessor.test_cfg = dict(size_divisor=32)
    return cfg


def pipeline(scale, flip=None, ratio=True):
    """Images are resized and flipped, their masks are not."""
    resize = dict(type='Resize', scale=scale, keep_ratio=ratio)
    direction = flip or 'horizontal'
    turn = dict(type='RandomFlip', prob=float(bool(flip)), direction=direction)
    return [runs.LOAD[0], resize, turn, runs.LOAD[1], runs.PACK]


class Evaluation(NamedTuple):
    figures: dict
    masks: list[np.ndarray]  # as they were predicted
    fields: list[set]  # of the samples
    log: str


def evaluate(cfg, folder: Path, stage='val', hook=True) -> Evaluation:
    """Evaluates a model whose classes differ, as a user does."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = str(folder)
    cfg.experiment_name = folder.name
    cfg.custom_hooks = [*cfg.custom_hooks, *[runs.HEAD_RESOLUTION] * hook]
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator[0].output_dir = str(folder / 'masks')
    runner = Runner.from_cfg(cfg)
    scatter(runner.model)
    fields = []
    runner.model.register_forward_hook(
        lambda model, args, samples: fields.extend(
            set(sample.keys()) for sample in samples
        )
    )
    figures = getattr(runner, stage)()
    masks = [
        np.array(Image.open(path)) for path in sorted(folder.glob('masks/*'))
    ]
    assert len(masks) == IMAGES
    runner.logger.handlers[-1].flush()
    return Evaluation(figures, masks, fields, '\n'.join(log_of(runner)))


def scatter(model):
    """Random weights that predict every class somewhere."""
    segmentor = unwrapped(model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        for name, parameter in segmentor.named_parameters():
            if 'conv_seg.weight' in name:
                parameter.data = torch.randn(parameter.shape).to(parameter)
        for module in segmentor.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
        # statistics of noise: without them features are all but constant
        noise = torch.randn(2, 3, 64, 64).to(parameter)
        segmentor.train().encode_decode(noise, [dict(img_shape=(64, 64))])
    segmentor.eval()


def compare(cfg, tmp_path, stage='val'):
    """The same figures and masks, and no logits."""
    theirs = evaluate(cfg, tmp_path / 'stock', stage, hook=False)
    ours = evaluate(cfg, tmp_path / 'ours', stage)
    assert all('seg_logits' in fields for fields in theirs.fields)
    assert len(ours.fields) == len(theirs.fields) > 0
    for fields in ours.fields:
        assert 'seg_logits' not in fields
        assert {'pred_sem_seg', 'gt_sem_seg'} <= fields
    assert f'{stage}: {SMALL}' in ours.log
    for mask, expected in zip(ours.masks, theirs.masks):
        assert len(np.unique(expected)) > 1
        np.testing.assert_array_equal(mask, expected)
    for name, value in theirs.figures.items():
        if 'time' not in name:
            assert ours.figures[name] == pytest.approx(value, nan_ok=True)


SLIDE = dict(crop_size=(32, 40), stride=(20, 24))


@pytest.mark.parametrize('mode', ['whole', 'slide'])
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
    ('scale', 'flip'),
    [
        ((48, 48), None),
        ((97, 80), 'horizontal'),
        ((33, 25), 'vertical'),
        ((150, 120), None),
    ],
    ids=str,
)
def test_resized_images(cfg, tmp_path, scale, flip, align_corners, mode):
    cfg.model.decode_head.align_corners = align_corners
    cfg.val_dataloader.dataset.pipeline = pipeline(scale, flip)
    cfg.model.test_cfg = dict(mode=mode, **SLIDE)
    compare(cfg, tmp_path)


def test_batches_and_test(cfg, tmp_path):
    cfg.test_dataloader.batch_size = 3
    cfg.test_dataloader.dataset.pipeline = pipeline((50, 40), ratio=False)
    compare(cfg, tmp_path, 'test')


@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_autocast(cfg, tmp_path, mode):
    cfg.val_cfg.fp16 = True
    cfg.val_dataloader.dataset.pipeline = pipeline((97, 80))
    cfg.model.test_cfg = dict(mode=mode, **SLIDE)
    compare(cfg, tmp_path)


SEVERAL = dict(in_channels=[16, 8], in_index=[0, 1])


@pytest.mark.parametrize(
    ('head', 'cascade'),
    [
        (dict(type='OCRHead', ocr_channels=4), True),
        (dict(type='DAHead', pam_channels=4), False),
        (dict(SEVERAL, type='EncHead', num_codes=4), False),
    ],
)
def test_heads_that_predict_by_a_method_of_mmseg(cfg, tmp_path, head, cascade):
    first = cfg.model.decode_head
    last = {**first, **head}
    last.pop('num_convs')
    cfg.model.decode_head = last
    if cascade:
        cfg.model.update(type='CascadeEncoderDecoder', num_stages=2)
        cfg.model.decode_head = [first, last]
    compare(cfg, tmp_path)


def test_pictures_and_subclasses_need_no_logits(cfg, tmp_path):
    cfg.val_evaluator = [dict(type='SubclassedIoU'), IOU]
    cfg.test_evaluator = cfg.val_evaluator
    backends = [dict(type='LocalVisBackend')]
    cfg.visualizer = dict(type='SegLocalVisualizer', vis_backends=backends)
    show = dict(type='SegVisualizationHook', draw=True, interval=1)
    cfg.default_hooks.visualization = show
    compare(cfg, tmp_path)
    assert len(list((tmp_path / 'ours').rglob('vis_image/*.png'))) == IMAGES


def test_inputs_without_samples(cfg, device):
    """As who calls the model's predict does, at the size of the inputs."""
    model = Runner.from_cfg(cfg).model.eval()
    scatter(model)
    inputs = torch.randn(2, 3, 64, 96, device=device)
    expected = model.predict(inputs)
    predict_classes(model)
    found = model.predict(inputs)
    assert len(found) == len(expected) == 2
    for ours, theirs in zip(found, expected):
        assert torch.equal(ours.pred_sem_seg.data, theirs.pred_sem_seg.data)
        assert 'seg_logits' not in ours


IOU_METRIC = dict(type='IoUMetric', iou_metrics=['mIoU', 'mDice'])
DUMP = dict(type='DumpResults', out_file_path='all.pkl')
FOREIGN = dict(type='ForeignIoU', prefix='foreign')
ONE_CHANNEL = dict(num_classes=2, out_channels=1, threshold=0.4)
REASONS = {
    'CalibrationMetric': dict(val_evaluator=[IOU_METRIC, CALIBRATION]),
    'ForeignIoU': dict(val_evaluator=[IOU_METRIC, FOREIGN]),
    'DumpResults': dict(val_evaluator=[IOU_METRIC, DUMP]),
    'ForeignHook': dict(custom_hooks=[dict(type='ForeignHook')]),
    'ForeignLoop': dict(val_cfg=dict(type='ForeignLoop')),
    'ForeignDrawing': dict(visualizer=dict(type='ForeignDrawing')),
    'ForeignSegmentor predicts': {'model.type': 'ForeignSegmentor'},
    'ForeignHead predicts': {'model.decode_head.type': 'ForeignHead'},
    'it has a single channel': {'model.decode_head': ONE_CHANNEL},
}


@pytest.mark.parametrize('reason', REASONS)
def test_the_stock_way(cfg, tmp_path, monkeypatch, reason):
    monkeypatch.chdir(tmp_path)
    cfg.merge_from_dict(REASONS[reason])
    theirs = evaluate(cfg, tmp_path / 'stock', hook=False)
    ours = evaluate(cfg, tmp_path / 'ours')
    assert FULL + reason in ours.log
    assert all('seg_logits' in fields for fields in ours.fields)
    for mask, expected in zip(ours.masks, theirs.masks):
        np.testing.assert_array_equal(mask, expected)


def test_augmentation(cfg, tmp_path):
    augmented(cfg, 'SegTTAModel')
    ours = evaluate(cfg, tmp_path / 'ours', 'test')
    assert FULL + 'SegTTAModel may read seg_logits' in ours.log


def test_another_mmseg(cfg, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, 'fingerprint', lambda method: '')
    ours = evaluate(cfg, tmp_path / 'ours')
    assert FULL + "mmseg's EncoderDecoder.predict is not that of" in ours.log
    assert all('seg_logits' in fields for fields in ours.fields)


def test_a_failed_run_leaves_nothing(cfg, tmp_path, monkeypatch):
    cfg.custom_hooks = [runs.HEAD_RESOLUTION]
    runner = Runner.from_cfg(cfg)
    with monkeypatch.context() as patch:
        patch.setattr(prediction, 'predicted_classes', None)
        with pytest.raises(TypeError):
            runner.val()
    assert type(runner.model) is not EncoderDecoder
    (hook,) = [x for x in runner.hooks if isinstance(x, HeadResolutionHook)]
    hook.before_train(runner)
    hook.after_train(runner)
    assert type(runner.model) is EncoderDecoder
    assert type(runner.model.decode_head) is FCNHead
    runner.val()


def test_training_goes_on_after_validation(tmp_path, deterministic):
    """Every other validation, and training between, as without the hook."""
    figures = {}
    write_scenes(tmp_path / 'scenes')
    for name in ('stock', 'ours'):
        cfg = tiny_config(tmp_path / 'scenes', tmp_path / name)
        cfg.model.decode_head.update(in_index=0, in_channels=16)
        cfg.train_cfg.val_interval = 4
        cfg.custom_hooks = [runs.HEAD_RESOLUTION] * (name == 'ours')
        cfg.experiment_name = name
        cfg.default_hooks.checkpoint = None
        runner = Runner.from_cfg(cfg)
        runner.train()
        history = runner.message_hub.get_scalar('val/mIoU').data[0]
        figures[name] = history.tolist()
        log = '\n'.join(log_of(runner))
        assert log.count(f'val: {SMALL}') == (name == 'ours')
        assert type(runner.model) is EncoderDecoder
        assert type(runner.model.decode_head) is FCNHead
    assert len(figures['ours']) == 3
    assert figures['ours'] == pytest.approx(figures['stock'], abs=MIOU_LATER)
