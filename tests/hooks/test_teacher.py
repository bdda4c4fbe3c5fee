"""Teachers see what they were trained on, and are warned of otherwise."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from mmseg_jml.functional import RegionCounts
from mmseg_jml.hooks import distillation_hook
from mmseg_jml.supervision.teacher import Teacher
from mmseg_jml.supervision.teacher_checkpoint import build_frozen
from mmseg_jml.supervision.teacher_quality import TeacherQuality

from . import runs

STATISTICS = dict(mean=[128.0] * 3, std=[64.0] * 3, bgr_to_rgb=False)
NO_STATISTICS = dict(mean=None, std=None)
META = dict(img_shape=(32, 32))


@MODELS.register_module('ScoringHead')
class Mask2FormerHead(FCNHead):
    """Predicts scores as the head of mmdet does, by whose name it goes."""

    def predict(self, inputs, batch_img_metas, test_cfg):
        logits = super().predict(inputs, batch_img_metas, test_cfg)
        # masks times classes: at least 0, of any sum
        return 7 * logits.softmax(1) * logits.max(1, keepdim=True)[0].sigmoid()


@pytest.fixture
def raw():
    label = PixelData(data=torch.zeros(1, 32, 32).long())
    return dict(
        inputs=list(torch.randint(256, (2, 3, 32, 32))),
        data_samples=[SegDataSample(gt_sem_seg=label) for _ in range(2)],
    )


def frozen(model, folder):
    paths = runs.write_teacher(folder, model)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = build_frozen(paths['teacher'], paths['checkpoint'], True)[0]
    return model.to(get_device())


def preprocess(model, raw):
    return model.data_preprocessor(copy.deepcopy(raw), True)['inputs']


def taught(model, raw, *outputs) -> tuple:
    """Images of a student with the colours of its teacher, and answers."""
    images = preprocess(model, raw)
    return images, Teacher(model, model.data_preprocessor)(images, outputs)


@pytest.mark.parametrize(
    ('own', 'other'),
    [
        ({}, {}),
        ({}, runs.OTHER_COLOURS),
        (runs.OTHER_COLOURS, {}),
        (runs.OTHER_COLOURS, dict(mean=[3.0, 4.0, 5.0], std=[1.0, 2.0, 3.0])),
        ({}, NO_STATISTICS),
        (NO_STATISTICS, {}),
        (NO_STATISTICS, dict(NO_STATISTICS, bgr_to_rgb=True)),
        ({}, dict(rgb_to_bgr=True)),
    ],
)
def test_images_are_normalised_as_the_teacher_knows_them(
    cfg, raw, tmp_path, own, other
):
    cfg.model.data_preprocessor.update(own)
    student = runs.build(cfg.model)
    model = runs.wider(cfg.model, **{**STATISTICS, **other})
    teacher = frozen(model, tmp_path)
    seen = []
    teacher.backbone.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    images = preprocess(student, raw)
    Teacher(teacher, student.data_preprocessor)(images, ['decode'])
    expected = preprocess(teacher, raw)
    # where 255 is the unit, standardised twice
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)
    if own == other:
        assert seen[0] is images


def test_frozen_backbone_runs_once_for_all_heads(cfg, raw, tmp_path):
    cfg.model.backbone.norm_cfg = dict(type='SyncBN', requires_grad=True)
    model = frozen(cfg.model, tmp_path)
    before, seen = copy.deepcopy(model.state_dict()), []
    handle = model.backbone.register_forward_hook(lambda *_: seen.append(1))
    assert Teacher(model, model.data_preprocessor).outputs == ['decode', 'aux']
    images, answers = taught(model, raw, 'decode', 'aux')
    assert len(seen) == 1
    handle.remove()
    for name, expected in zip(('decode', 'aux'), runs.forward(model, images)):
        logits, is_sigmoid = answers[name]
        assert not is_sigmoid
        assert not logits.requires_grad
        assert torch.equal(logits, expected)
    assert not any(m.training for m in model.modules())
    assert not any(p.requires_grad for p in model.parameters())
    assert not any('Sync' in type(m).__name__ for m in model.modules())
    runs.assert_same(before, model.state_dict())


def test_scores_of_a_head_of_queries_are_divided_by_their_sum(
    cfg, raw, tmp_path
):
    cfg.model.decode_head.type = 'ScoringHead'
    model = frozen(cfg.model, tmp_path)
    images, answers = taught(model, raw, 'decode')
    logits, is_sigmoid = answers['decode']
    scores = model.encode_decode(images, [META])
    assert not is_sigmoid
    expected = scores / scores.sum(1, keepdim=True)
    torch.testing.assert_close(logits.softmax(1), expected)


@MODELS.register_module()
class ImageEncoderDecoder(BaseSegmentor):
    """A segmentor of parts with other names, such as those of SAN."""

    def __init__(self, backbone, decode_head, data_preprocessor):
        super().__init__(data_preprocessor)
        self.image_encoder = MODELS.build(backbone)
        self.decode_head = MODELS.build(decode_head)
        self.num_classes = self.decode_head.num_classes

    def encode_decode(self, inputs, batch_img_metas):
        features = self.image_encoder(inputs)
        return self.decode_head.predict(features, batch_img_metas, {})

    def extract_feat(self, inputs):
        return self.image_encoder(inputs)

    def _forward(self, inputs, data_samples=None):
        return self.decode_head(self.extract_feat(inputs))

    loss = predict = _forward


def test_teacher_without_a_backbone_of_this_name(cfg, raw, tmp_path):
    parts = ('backbone', 'decode_head', 'data_preprocessor')
    model = {part: cfg.model[part] for part in parts}
    teacher = frozen(dict(type='ImageEncoderDecoder', **model), tmp_path)
    images, answers = taught(teacher, raw, 'decode')
    expected = teacher.encode_decode(images, [META] * 2)
    assert torch.equal(answers['decode'][0], expected)


def binary(model, channels):
    model = copy.deepcopy(model)
    runs.set_heads(model, num_classes=2)
    if channels == 1:
        loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
        runs.set_heads(model, out_channels=1, loss_decode=loss)
    return model


@pytest.mark.parametrize('student', [1, 2])
@pytest.mark.parametrize('teacher', [1, 2])
@pytest.mark.filterwarnings('ignore:.*binary:UserWarning')
def test_one_channel_and_two_teach_each_other(cfg, tmp_path, student, teacher):
    classes = ('no', 'yes')
    model = binary(cfg.model, teacher)
    paths = runs.write_teacher(tmp_path, model, 1, classes)
    cfg.model = binary(cfg.model, student)
    cfg.train_dataloader.dataset.metainfo.classes = classes
    runs.change_masks(tmp_path / 'noise', lambda mask: mask % 2)
    record = runs.train(cfg, runs.distil(paths, label_weight=0.0))
    terms = {k: v for k, v in record.logs[0].items() if 'loss_kd' in k}
    assert terms.keys() == {'decode.loss_kd_jml_ce', 'aux.loss_kd_ce'}
    assert all(value > 0 for value in terms.values())
    gradient = record.gradients[0]['decode_head.conv_seg.weight']
    assert len(gradient) == student
    assert gradient.any()


WARNING = 'It has nothing to teach'


@MODELS.register_module()
class Colours(nn.Module):
    """A backbone that passes the colours on."""

    def forward(self, inputs):
        return (inputs,)


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
    return runs.with_evaluation(cfg)


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
    paths = runs.write_teacher(folder, model)
    state = runs.weights_of(paths)
    weight = torch.eye(3)[list(order)]
    state['decode_head.conv_seg.weight'][:, :, 0, 0] = weight
    state['decode_head.conv_seg.bias'][:] = torch.tensor([0.5, 0, 0])
    runs.change_checkpoint(paths, state_dict=state)
    return paths


@pytest.mark.parametrize(
    ('wrong', 'miou', 'warned'),
    [
        ({}, 100, False),
        # each class is taken for the next
        (dict(order=[1, 2, 0]), 0, True),
        # all contrast is gone: the class of the largest bias everywhere
        (dict(std=6400.0), None, True),
    ],
    ids=['right', 'class order', 'normalisation'],
)
def test_warning(coloured, tmp_path, monkeypatch, wrong, miou, warned):
    """On the validation set at once, on batches after an interval."""
    monkeypatch.setattr(distillation_hook, '_CHECK_INTERVAL', 2)
    paths = knowing(coloured, tmp_path, **wrong)
    record = runs.train(coloured, runs.distil(paths, validate_teacher=True))
    text = runs.log_text(coloured)
    if miou is not None:
        assert {log['teacher_mIoU'] for log in record.logs} == {miou}
        assert f'kd_teacher/mIoU: {miou:.2f}' in text
    assert (WARNING in text) == warned
    for where in ('the validation set', 'the last batches'):
        assert (f' on {where}; its predictions' in text) == warned


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
    record = runs.train(cfg, runs.distil(teacher))
    model = runs.read_teacher(teacher)
    for batch, log in zip(record.batches, record.logs):
        inputs, label = runs.prepared(model, batch)
        expected = runs.miou(runs.answer(model, inputs).argmax(1), label)
        assert log['teacher_mIoU'] == pytest.approx(expected)


def test_figure_at_the_heads_resolution_is_of_some_pixels(cfg, tmp_path):
    cfg.model.decode_head.update(in_index=1, in_channels=8)  # half the sides
    paths = runs.write_teacher(tmp_path, cfg.model)
    record = runs.train(cfg, runs.distil(paths), runs.HEAD_RESOLUTION)
    model = runs.read_teacher(paths)
    inputs, label = runs.prepared(model, record.batches[0])
    with torch.no_grad():
        found = model.decode_head(model.backbone(inputs)).argmax(1)
    expected = runs.miou(found, label[:, 1::2, 1::2])
    assert record.logs[0]['teacher_mIoU'] == pytest.approx(expected)


def stock_figures(cfg, teacher) -> dict:
    """Those of a run of mmengine whose model is the teacher."""
    cfg = copy.deepcopy(cfg)
    cfg.model = Config.fromfile(teacher['teacher']).model
    cfg.load_from, cfg.custom_hooks = teacher['checkpoint'], []
    cfg.work_dir += '_stock'
    cfg.experiment_name = 'stock'
    return Runner.from_cfg(cfg).val()


def assert_validated(record, expected: dict) -> None:
    scalars = record.runner.message_hub.log_scalars
    for name, value in expected.items():
        assert scalars[f'val/kd_teacher/{name}'].current() == value


def test_validation_is_that_of_stock_and_changes_nothing(cfg, teacher):
    """Neither a bit of the student nor a file of its own validation."""
    cfg.train_cfg.max_iters = 2
    cfg = runs.with_evaluation(cfg)
    cfg.custom_hooks = []  # random numbers as they come
    cfg.train_cfg.val_interval = 2
    out = Path(cfg.work_dir) / 'pictures'
    cfg.val_evaluator.output_dir = str(out)
    expected = stock_figures(cfg, teacher)
    plain = runs.train(cfg, runs.distil(teacher))
    files = {file.name: file.read_bytes() for file in out.glob('*.png')}
    record = runs.train(cfg, runs.distil(teacher, validate_teacher=True))
    runs.assert_same_run(plain, record)
    for name, content in files.items():
        assert (out / name).read_bytes() == content
    assert len(files) == len([*(out / 'kd_teacher').glob('*.png')]) == 10
    assert_validated(record, expected)
    assert f'kd_teacher/mIoU: {expected["mIoU"]:.2f}' in runs.log_text(cfg)


def test_no_validation_where_a_run_is_resumed(cfg, teacher):
    cfg = runs.with_evaluation(cfg)
    hook = runs.distil(teacher, validate_teacher=True)
    runs.train(cfg, hook)
    cfg.load_from, cfg.resume = f'{cfg.work_dir}/iter_3.pth', True
    cfg.train_cfg.max_iters, cfg.work_dir = 4, f'{cfg.work_dir}_resumed'
    assert len(runs.train(cfg, hook).logs) == 1
    assert 'Validation of the teacher' not in runs.log_text(cfg)


def test_a_run_without_validation(cfg, teacher):
    hook = runs.distil(teacher, validate_teacher=True)
    runs.refuse(cfg, 'val_dataloader.*but got none', hook)
