"""Teachers see what they were trained on, and answer in their own way."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_jml.supervision.teacher import Teacher
from mmseg_jml.supervision.teacher_checkpoint import build_frozen

from .distillation import KD, OTHER_COLOURS, build, train, wider, write_teacher

STATISTICS = dict(mean=[128.0] * 3, std=[64.0] * 3, bgr_to_rgb=False)
NO_STATISTICS = dict(mean=None, std=None)


@MODELS.register_module('ScoringHead')
class Mask2FormerHead(FCNHead):
    """Predicts scores as the head of mmdet does, by whose name it goes."""

    def predict(self, inputs, batch_img_metas, test_cfg):
        logits = super().predict(inputs, batch_img_metas, test_cfg)
        # masks times classes: at least 0, of any sum
        return 7 * logits.softmax(1) * logits.max(1, keepdim=True)[0].sigmoid()


@pytest.fixture
def raw():
    sample = SegDataSample(
        gt_sem_seg=PixelData(data=torch.zeros(1, 32, 32).long())
    )
    return dict(
        inputs=list(torch.randint(256, (2, 3, 32, 32))),
        data_samples=[sample, copy.deepcopy(sample)],
    )


def frozen(model, folder):
    paths = write_teacher(folder, model)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = build_frozen(paths['teacher'], paths['checkpoint'])[0]
    return model.to(get_device())


def preprocess(model, raw):
    return model.data_preprocessor(copy.deepcopy(raw), True)['inputs']


@pytest.mark.parametrize(
    ('own', 'other'),
    [
        ({}, {}),
        ({}, OTHER_COLOURS),
        (OTHER_COLOURS, {}),
        (OTHER_COLOURS, dict(mean=[3.0, 4.0, 5.0], std=[1.0, 2.0, 3.0])),
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
    student = build(cfg.model)
    model = wider(cfg.model, **{**STATISTICS, **other})
    teacher = frozen(model, tmp_path)
    seen = []
    teacher.backbone.register_forward_pre_hook(
        lambda module, args: seen.append(args[0])
    )
    images = preprocess(student, raw)
    Teacher(teacher, student.data_preprocessor)(images, ['decode'])
    expected = preprocess(teacher, raw)
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)
    if own == other:
        assert seen[0] is images


def test_backbone_runs_once_for_all_heads(cfg, raw, tmp_path):
    student, model = build(cfg.model), frozen(cfg.model, tmp_path)
    runs = []
    model.backbone.register_forward_hook(lambda *args: runs.append(1))
    teacher = Teacher(model, student.data_preprocessor)
    assert teacher.outputs == ['decode', 'aux']
    images = preprocess(student, raw)
    answers = teacher(images, teacher.outputs)
    assert len(runs) == 1
    features = model.extract_feat(images)
    for name, head in (
        ('decode', model.decode_head),
        ('aux', model.auxiliary_head),
    ):
        logits, is_sigmoid = answers[name]
        assert not is_sigmoid
        expected = torch.nn.functional.interpolate(
            head(features), (32, 32), mode='bilinear'
        )
        assert torch.equal(logits, expected)


def test_teacher_is_frozen(cfg, raw, tmp_path):
    norm = dict(type='SyncBN', requires_grad=True)
    cfg.model.backbone.norm_cfg = norm
    model = frozen(cfg.model, tmp_path)
    assert not any(m.training for m in model.modules())
    assert not any(p.requires_grad for p in model.parameters())
    assert not any('Sync' in type(m).__name__ for m in model.modules())
    before = copy.deepcopy(model.state_dict())
    teacher = Teacher(model, model.data_preprocessor)
    answers = teacher(preprocess(model, raw), teacher.outputs)
    assert not any(logits.requires_grad for logits, _ in answers.values())
    assert all(
        torch.equal(v, before[k]) for k, v in model.state_dict().items()
    )


def test_scores_of_a_head_of_queries_are_divided_by_their_sum(
    cfg, raw, tmp_path
):
    cfg.model.decode_head.type = 'ScoringHead'
    model = frozen(cfg.model, tmp_path)
    images = preprocess(model, raw)
    teacher = Teacher(model, model.data_preprocessor)
    (logits, is_sigmoid) = teacher(images, ['decode'])['decode']
    meta = dict(img_shape=(32, 32))
    scores = model.encode_decode(images, [meta])
    assert not is_sigmoid
    torch.testing.assert_close(
        logits.softmax(1), scores / scores.sum(1, keepdim=True)
    )


@MODELS.register_module()
class ImageEncoderDecoder(BaseSegmentor):
    """A segmentor of parts with other names, such as those of SAN."""

    def __init__(self, backbone, decode_head, data_preprocessor):
        super().__init__(data_preprocessor)
        self.image_encoder = MODELS.build(backbone)
        self.decode_head = MODELS.build(decode_head)
        self.num_classes = self.decode_head.num_classes

    def encode_decode(self, inputs, batch_img_metas):
        return self.decode_head.predict(
            self.image_encoder(inputs), batch_img_metas, {}
        )

    def extract_feat(self, inputs):
        return self.image_encoder(inputs)

    def _forward(self, inputs, data_samples=None):
        return self.decode_head(self.extract_feat(inputs))

    loss = predict = _forward


def test_teacher_without_a_backbone_of_this_name(cfg, raw, tmp_path):
    model = dict(
        type='ImageEncoderDecoder',
        backbone=cfg.model.backbone,
        decode_head=cfg.model.decode_head,
        data_preprocessor=cfg.model.data_preprocessor,
    )
    teacher = frozen(model, tmp_path)
    images = preprocess(teacher, raw)
    found = Teacher(teacher, teacher.data_preprocessor)(images, ['decode'])
    meta = dict(img_shape=(32, 32))
    assert torch.equal(
        found['decode'][0], teacher.encode_decode(images, [meta] * 2)
    )


def binary(model, head):
    model = copy.deepcopy(model)
    for part in (model.decode_head, model.auxiliary_head):
        part.num_classes = 2
        if head == 'one channel':
            part.out_channels = 1
            part.loss_decode = dict(type='CrossEntropyLoss', use_sigmoid=True)
    return model


@pytest.mark.parametrize('student', ['one channel', 'two channels'])
@pytest.mark.parametrize('teacher', ['one channel', 'two channels'])
@pytest.mark.filterwarnings('ignore:.*binary:UserWarning')
def test_one_channel_and_two_teach_each_other(cfg, tmp_path, student, teacher):
    paths = write_teacher(
        tmp_path, binary(cfg.model, teacher), classes=('no', 'yes')
    )
    cfg.model = binary(cfg.model, student)
    cfg.train_dataloader.dataset.metainfo.classes = ('no', 'yes')
    for i in range(10):
        path = tmp_path / f'noise/masks/{i}.png'
        mask = np.array(Image.open(path))
        Image.fromarray(mask % 2).save(path)
    record = train(cfg, dict(type=KD, label_weight=0.0, **paths))
    terms = {k: v for k, v in record.logs[0].items() if 'loss_kd' in k}
    assert terms.keys() == {'decode.loss_kd_jml_ce', 'aux.loss_kd_ce'}
    assert all(value > 0 for value in terms.values())
    gradient = record.gradients[0]['decode_head.conv_seg.weight']
    assert len(gradient) == (1 if student == 'one channel' else 2)
    assert gradient.any()
