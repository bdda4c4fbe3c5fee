"""What a teacher knows itself, and when it is warned of."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from PIL import Image
from torch import nn
from torchmetrics.functional.segmentation import mean_iou

from mmseg_jml.functional import RegionCounts
from mmseg_jml.hooks import distillation_hook
from mmseg_jml.supervision.teacher_quality import TeacherQuality
from tests.processes import distribute, run_in_processes

from .distillation import (
    KD,
    assert_same,
    forward,
    read_teacher,
    train,
    with_validation,
    write_teacher,
)

WARNING = 'It has nothing to teach'


@MODELS.register_module()
class Colours(nn.Module):
    """A backbone that passes the colours on."""

    def forward(self, inputs):
        return (inputs,)


def seen(cfg) -> str:
    return ''.join(p.read_text() for p in Path(cfg.work_dir).glob('*/*.log'))


@pytest.fixture
def coloured(cfg, tmp_path):
    """Images whose class is their brightest channel, in blocks."""
    numbers = np.random.default_rng(0)
    for i in range(10):
        label = np.kron(numbers.integers(0, 3, (6, 6)), np.ones((8, 8), int))
        image = np.eye(3)[label][..., ::-1] * 200 + 20  # loaded as BGR
        for part, pixels in (('images', image), ('masks', label)):
            path = tmp_path / f'noise/{part}/{i}.png'
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    pipeline = cfg.train_dataloader.dataset.pipeline
    changes_colours = 'RandomResize', 'PhotoMetricDistortion'
    pipeline[:] = [t for t in pipeline if t['type'] not in changes_colours]
    return with_validation(cfg)


def knowing(cfg, folder, order=(0, 1, 2), std=64.0) -> dict:
    """A teacher that names the brightest channel, if it sees well."""
    model = copy.deepcopy(cfg.model)
    model.data_preprocessor.std = [std] * 3
    model.backbone = dict(type='Colours')
    model.decode_head = dict(
        type='FCNHead', in_channels=3, in_index=0, channels=3, num_convs=0,
        concat_input=False, num_classes=3, norm_cfg=None,
    )  # fmt: skip
    model.auxiliary_head = None
    paths = write_teacher(folder, model)
    content = torch.load(paths['checkpoint'], weights_only=True)
    state = content['state_dict']
    state['decode_head.conv_seg.weight'][:, :, 0, 0] = torch.eye(3)[
        list(order)
    ]
    state['decode_head.conv_seg.bias'][:] = torch.tensor([0.5, 0, 0])
    torch.save(content, paths['checkpoint'])
    return paths


@pytest.mark.parametrize(
    ('wrong', 'figures'),
    [
        ({}, (100, None)),
        # each class is taken for the next
        (dict(order=[1, 2, 0]), (0, 'batches')),
        # all contrast is gone: the class of the largest bias everywhere
        (dict(std=6400.0), (None, 'batches')),
    ],
    ids=['right', 'class order', 'normalisation'],
)
def test_warning(coloured, tmp_path, monkeypatch, wrong, figures):
    """On the validation set at once, on batches after an interval."""
    monkeypatch.setattr(distillation_hook, '_CHECK_INTERVAL', 2)
    hook = dict(type=KD, validate_teacher=True)
    paths = knowing(coloured, tmp_path, **wrong)
    record = train(coloured, dict(hook, **paths))
    text = seen(coloured)
    expected, warned = figures
    if expected is not None:
        assert {log['teacher_mIoU'] for log in record.logs} == {expected}
        assert f'kd_teacher/mIoU: {expected:.2f}' in text
    assert (WARNING in text) == bool(warned)
    for where in ('the validation set', 'the last batches'):
        assert (f' on {where}; its predictions' in text) == bool(warned)


def judged(monkeypatch, *numbers) -> bool:
    told, quality = [], TeacherQuality('x.pth', 'these pixels')
    monkeypatch.setattr(
        'logging.Logger.warning', lambda _, text: told.append(text)
    )
    for _ in range(2):
        quality.add(RegionCounts(*torch.tensor(numbers)[:, None]))
        quality.judge()
    assert len(told) < 2  # once is enough
    return bool(told)


def test_what_chance_is(monkeypatch):
    """Half and half of 100 pixels: chance is 1/3, the limit 0.367."""
    half = [50, 50]
    assert judged(monkeypatch, [25, 25], half, half)  # 25 / 75, chance itself
    assert judged(monkeypatch, [26, 26], half, half)  # 26 / 74 = 0.351
    assert not judged(monkeypatch, [27, 27], half, half)  # 27 / 73 = 0.370
    assert judged(monkeypatch, [0, 0], half, half)
    # a class that is everywhere tells nothing, right or wrong
    assert not judged(monkeypatch, [98, 0], [98, 2], [100, 0])
    assert not judged(monkeypatch, [0, 0], [0, 100], [100, 0])


def test_figure_of_a_batch_is_that_of_torchmetrics(cfg, teacher):
    record = train(cfg, dict(type=KD, **teacher))
    model = read_teacher(teacher)
    for batch, log in zip(record.batches, record.logs):
        data = model.data_preprocessor(batch, True)
        label = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
        with torch.no_grad():
            found = forward(model, data['inputs'])[0].argmax(1)
        expected = mean_iou(
            found.reshape(1, -1), label.reshape(1, -1), 3, input_format='index'
        )
        assert log['teacher_mIoU'] == pytest.approx(100 * float(expected))


def test_figure_at_the_heads_resolution_is_of_the_nearest_pixels(
    cfg, tmp_path
):
    cfg.model.decode_head.update(in_index=1, in_channels=8)  # half the sides
    paths = write_teacher(tmp_path, cfg.model)
    head = dict(type='mmseg_jml.HeadResolutionHook')
    record = train(cfg, dict(type=KD, **paths), head)
    model = read_teacher(paths)
    data = model.data_preprocessor(record.batches[0], True)
    label = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
    with torch.no_grad():
        found = model.decode_head(model.backbone(data['inputs'])).argmax(1)
    label = label[:, 1::2, 1::2]
    expected = mean_iou(
        found.reshape(1, -1), label.reshape(1, -1), 3, input_format='index'
    )
    assert record.logs[0]['teacher_mIoU'] == pytest.approx(
        100 * float(expected)
    )


def stock_figures(cfg, teacher) -> dict:
    """Those of a run of mmengine whose model is the teacher."""
    cfg = copy.deepcopy(cfg)
    cfg.model = Config.fromfile(teacher['teacher']).model
    cfg.load_from, cfg.custom_hooks = teacher['checkpoint'], []
    cfg.work_dir += '_stock'
    cfg.experiment_name = 'stock'
    return Runner.from_cfg(cfg).val()


def test_validation_is_that_of_stock_and_changes_nothing(cfg, teacher):
    """Neither a bit of the student nor a file of its own validation."""
    cfg.train_cfg.max_iters = 2
    cfg = with_validation(cfg)
    cfg.custom_hooks = []  # random numbers as they come
    cfg.train_cfg.val_interval = 2
    out = Path(cfg.work_dir) / 'pictures'
    cfg.val_evaluator.output_dir = str(out)
    expected = stock_figures(cfg, teacher)
    plain = train(cfg, dict(type=KD, **teacher))
    files = {file.name: file.read_bytes() for file in out.glob('*.png')}
    hook = dict(type=KD, validate_teacher=True, **teacher)
    record = train(cfg, hook)
    assert plain.logs == record.logs
    assert_same(plain.model.state_dict(), record.model.state_dict())
    for name, content in files.items():
        assert (out / name).read_bytes() == content
    assert len(files) == len([*(out / 'kd_teacher').glob('*.png')]) == 10
    scalars = record.runner.message_hub.log_scalars
    for name, value in expected.items():
        assert scalars[f'val/kd_teacher/{name}'].current() == value
    assert f'kd_teacher/mIoU: {expected["mIoU"]:.2f}' in seen(cfg)


def test_no_validation_where_a_run_is_resumed(cfg, teacher):
    cfg = with_validation(cfg)
    hook = dict(type=KD, validate_teacher=True, **teacher)
    train(cfg, hook)
    cfg.load_from, cfg.resume = f'{cfg.work_dir}/iter_3.pth', True
    cfg.train_cfg.max_iters, cfg.work_dir = 4, f'{cfg.work_dir}_resumed'
    assert len(train(cfg, hook).logs) == 1
    assert 'Validation of the teacher' not in seen(cfg)


def test_a_run_without_validation(cfg, teacher):
    with pytest.raises(ValueError, match='val_dataloader.*but got none'):
        train(cfg, dict(type=KD, validate_teacher=True, **teacher))


def in_processes(cfg, teacher, rank):
    distribute(cfg, broadcast_buffers=False)
    expected = stock_figures(cfg, teacher)
    record = train(cfg, dict(type=KD, validate_teacher=True, **teacher))
    scalars = record.runner.message_hub.log_scalars
    for name, value in expected.items():
        assert scalars[f'val/kd_teacher/{name}'].current() == value


def test_validation_in_two_processes(cfg, teacher, tmp_path):
    cfg = with_validation(cfg)
    cfg.train_cfg.max_iters = 1
    run_in_processes(partial(in_processes, cfg, teacher), tmp_path)
