"""A stock student learns from soft labels of its data set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tolerances import LOGGED

from .distillation import KD, Lessons, assert_same, train

SOFT = 'mmseg_jml.SoftLabelHook'


@pytest.fixture
def annotators(cfg, tmp_path):
    """Three annotators of random opinions; the second leaves half out."""
    numbers = np.random.default_rng(1)
    for name in ('first', 'second', 'third'):
        (tmp_path / 'noise' / name).mkdir()
        for i in range(10):
            mask = numbers.integers(0, 3, (48, 48), dtype=np.uint8)
            mask[: 24 * (name == 'second')] = 255
            mask[:, :8] = 255
            Image.fromarray(mask).save(tmp_path / f'noise/{name}/{i}.png')
    sources = [
        {'/masks/': f'/{name}/'} for name in ('first', 'second', 'third')
    ]
    set_sources(cfg, sources)
    return cfg


def set_sources(cfg, sources):
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(2, dict(type='mmseg_jml.LoadSoftLabels', sources=sources))
    pipeline[-1].type = 'mmseg_jml.PackSoftLabels'


def made_targets(cfg, **hook):
    lessons = Lessons()
    record = train(cfg, dict(type=SOFT, **hook), lessons)
    student, targets, _ = lessons.found[0]
    return record, student.data_samples, targets


def test_votes_are_averaged_pixel_by_pixel(annotators):
    annotators.model.data_preprocessor.size = (40, 40)
    record, samples, targets = made_targets(annotators)
    assert targets.keys() == {'decode', 'aux'}
    for target in targets.values():
        value, weight = target.target.value, target.weight
        assert value.shape == (2, 3, 40, 40)
        for n, sample in enumerate(samples):
            masks = sample.soft_label.data
            for h, w in np.ndindex(32, 32):
                votes = [int(v) for v in masks[:, h, w] if v != 255]
                assert weight[n, h, w] == bool(votes)
                for c in range(3):
                    expected = votes.count(c) / max(len(votes), 1)
                    assert float(value[n, c, h, w]) == pytest.approx(expected)
        assert not weight[:, 32:].any()
        assert not weight[:, :, 32:].any()
    assert record.logs[0].keys() >= {
        'decode.loss_soft_jml_ce',
        'aux.loss_soft_ce',
    }


def test_at_the_heads_resolution(annotators):
    theirs = train(annotators, dict(type=SOFT))
    ours = train(
        annotators,
        dict(type=SOFT),
        dict(type='mmseg_jml.HeadResolutionHook'),
    )
    for found, expected in zip(ours.logs, theirs.logs):
        for name, value in expected.items():
            if 'loss' in name:
                assert found[name] == pytest.approx(value, rel=1e-4), name


def test_soft_labels_take_the_place_of_the_label(annotators):
    record = train(annotators, dict(type=SOFT))
    log = record.logs[0]
    assert log['decode.loss_jml_ce'] == log['aux.loss_ce'] == 0
    assert log['loss'] == pytest.approx(
        log['decode.loss_soft_jml_ce'] + log['aux.loss_soft_ce']
    )


def test_one_annotator_is_the_label(cfg):
    """Learning from one's own masks gives the gradients of the label."""
    cfg.model.decode_head.loss_decode = dict(
        type='mmseg_jml.JaccardMetricCELoss', active_classes_mode_hard='ALL'
    )
    cfg.model.auxiliary_head.loss_decode = dict(
        type='mmseg_jml.JaccardMetricCELoss',
        ce_weight=1.0,
        jml_weight=0.0,
        loss_weight=0.4,
    )
    plain = train(cfg)
    set_sources(cfg, {'/masks/': '/masks/'})
    soft = train(cfg, dict(type=SOFT))
    assert soft.logs[0]['decode.loss_soft_jml_ce'] == pytest.approx(
        plain.logs[0]['decode.loss_jml_ce'], rel=LOGGED
    )
    for name, gradient in plain.gradients[0].items():
        torch.testing.assert_close(
            soft.gradients[0][name], gradient, rtol=1e-4, atol=1e-5
        )


def test_probabilities(cfg, tmp_path):
    numbers = np.random.default_rng(2)
    (tmp_path / 'noise/maps').mkdir()
    for i in range(10):
        value = numbers.dirichlet([1.0] * 3, (48, 48)).transpose(2, 0, 1)
        value[:, :20] = 0
        np.save(tmp_path / f'noise/maps/{i}.npy', value.astype(np.float16))
    set_sources(cfg, {'/masks/': '/maps/', '.png': '.npy'})
    _, samples, targets = made_targets(
        cfg, outputs=['decode'], label_weight=0.5
    )
    assert list(targets) == ['decode']
    value, weight = targets['decode'].target.value, targets['decode'].weight
    for n, sample in enumerate(samples):
        assert torch.equal(value[n], sample.soft_label.data)
    assert torch.equal(weight, (value.sum(1) > 0).float())
    assert 0 < weight.mean() < 1


def test_weight_zero_is_a_run_without_the_hook(cfg):
    plain = train(cfg)
    hook = dict(type=SOFT, label_weight=1.0, soft_weight=0.0)
    soft = train(cfg, hook)
    assert plain.logs == soft.logs
    assert_same(plain.model.state_dict(), soft.model.state_dict())


def test_beside_distillation_each_weighs_its_own(annotators, teacher):
    """Label losses are multiplied by both factors, soft losses by one."""
    soft = dict(type=SOFT, label_weight=0.5, soft_weight=1.0)
    kd = dict(type=KD, label_weight=0.5, **teacher)
    plain = train(annotators).logs[0]
    alone = {
        **train(annotators, soft).logs[0],
        **train(annotators, kd).logs[0],
    }
    both = train(annotators, kd, soft).logs[0]
    for name in ('decode.loss_kd_jml_ce', 'decode.loss_soft_jml_ce'):
        assert both[name] == alone[name]
    name = 'decode.loss_jml_ce'
    assert both[name] == pytest.approx(plain[name] / 4)


def test_samples_without_soft_labels_are_refused(cfg):
    with pytest.raises(ValueError, match='a soft_label, .* got gt_sem_seg'):
        train(cfg, dict(type=SOFT))


def test_other_number_of_classes_is_refused(cfg, tmp_path):
    (tmp_path / 'noise/maps').mkdir()
    for i in range(10):
        value = np.full((4, 48, 48), 0.25, np.float32)
        np.save(tmp_path / f'noise/maps/{i}.npy', value)
    set_sources(cfg, {'/masks/': '/maps/', '.png': '.npy'})
    with pytest.raises(ValueError, match='of 3 classes but got 4'):
        train(cfg, dict(type=SOFT))


def test_vote_for_a_class_that_does_not_exist_is_refused(annotators, tmp_path):
    for i in range(10):
        path = tmp_path / f'noise/third/{i}.png'
        Image.fromarray(np.array(Image.open(path)) + 1).save(path)
    with pytest.raises(ValueError, match='soft labels that sum to 1'):
        train(annotators, dict(type=SOFT))
