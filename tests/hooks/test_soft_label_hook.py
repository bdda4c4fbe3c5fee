"""A stock student learns from soft labels of its data set."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tolerances import LOGGED, TENSORS_TWO_WAYS, TWO_WAYS

from . import runs

SOFT = dict(type='mmseg_jml.SoftLabelHook')
MAPS = {'/masks/': '/maps/', '.png': '.npy'}


@pytest.fixture
def annotators(cfg, tmp_path):
    """Three annotators of random opinions; the second leaves half out."""
    numbers = np.random.default_rng(1)
    names = ('first', 'second', 'third')
    for name in names:
        (tmp_path / 'noise' / name).mkdir()
        for i in range(10):
            mask = numbers.integers(0, 3, (48, 48), dtype=np.uint8)
            mask[: 24 * (name == 'second')] = 255
            mask[:, :8] = 255
            Image.fromarray(mask).save(tmp_path / f'noise/{name}/{i}.png')
    set_sources(cfg, [{'/masks/': f'/{name}/'} for name in names])
    return cfg


def write_maps(cfg, folder, make) -> None:
    """Stores ``make()`` (C, H, W) for each image, and lets a run load it."""
    (folder / 'noise/maps').mkdir()
    for i in range(10):
        np.save(folder / f'noise/maps/{i}.npy', make())
    set_sources(cfg, MAPS)


def set_sources(cfg, sources):
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(2, dict(type='mmseg_jml.LoadSoftLabels', sources=sources))
    pipeline[-1].type = 'mmseg_jml.PackSoftLabels'


def made_targets(cfg, **options):
    lessons = runs.Lessons()
    record = runs.train(cfg, dict(SOFT, **options), lessons)
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
    # they take the place of the label
    log = record.logs[0]
    assert log['decode.loss_jml_ce'] == log['aux.loss_ce'] == 0
    terms = runs.assert_summed(log)
    assert {'decode.loss_soft_jml_ce', 'aux.loss_soft_ce'} < terms


def test_at_the_heads_resolution(annotators):
    theirs = runs.train(annotators, SOFT)
    ours = runs.train(annotators, SOFT, runs.HEAD_RESOLUTION)
    for found, expected in zip(ours.logs, theirs.logs):
        for name, value in expected.items():
            if 'loss' in name:
                assert found[name] == pytest.approx(value, rel=TWO_WAYS), name


def test_one_annotator_is_the_label(cfg):
    """Learning from one's own masks gives the gradients of the label."""
    entry = dict(type='mmseg_jml.JaccardMetricCELoss')
    entropy = dict(entry, ce_weight=1.0, jml_weight=0.0, loss_weight=0.4)
    cfg.model.auxiliary_head.loss_decode = entropy
    all_classes = dict(entry, active_classes_mode_hard='ALL')
    cfg.model.decode_head.loss_decode = all_classes
    plain = runs.train(cfg)
    set_sources(cfg, {'/masks/': '/masks/'})
    soft = runs.train(cfg, SOFT)
    found = soft.logs[0]['decode.loss_soft_jml_ce']
    expected = plain.logs[0]['decode.loss_jml_ce']
    assert found == pytest.approx(expected, rel=LOGGED)
    torch.testing.assert_close(
        soft.gradients[0], plain.gradients[0], **TENSORS_TWO_WAYS
    )


def test_probabilities(cfg, tmp_path):
    def make():
        value = numbers.dirichlet([1.0] * 3, (48, 48)).transpose(2, 0, 1)
        value[:, :20] = 0
        return value.astype(np.float16)

    numbers = np.random.default_rng(2)
    write_maps(cfg, tmp_path, make)
    options = dict(outputs=['decode'], label_weight=0.5)
    _, samples, targets = made_targets(cfg, **options)
    assert list(targets) == ['decode']
    value, weight = targets['decode'].target.value, targets['decode'].weight
    for n, sample in enumerate(samples):
        assert torch.equal(value[n], sample.soft_label.data)
    assert torch.equal(weight, (value.sum(1) > 0).float())
    assert 0 < weight.mean() < 1


def test_beside_distillation_each_weighs_its_own(annotators, teacher):
    """Label losses are multiplied by both factors, soft losses by one."""
    soft = dict(SOFT, label_weight=0.5, soft_weight=1.0)
    kd = runs.distil(teacher, label_weight=0.5)
    plain = runs.train(annotators).logs[0]
    both = runs.train(annotators, kd, soft).logs[0]
    for name, hook in (
        ('decode.loss_kd_jml_ce', kd),
        ('decode.loss_soft_jml_ce', soft),
    ):
        assert both[name] == runs.train(annotators, hook).logs[0][name]
    name = 'decode.loss_jml_ce'
    assert both[name] == pytest.approx(plain[name] / 4)


def test_samples_without_soft_labels_are_refused(cfg):
    runs.refuse(cfg, 'a soft_label, .* got gt_sem_seg', SOFT)


def test_other_number_of_classes_is_refused(cfg, tmp_path):
    write_maps(cfg, tmp_path, lambda: np.full((4, 48, 48), 0.25, np.float32))
    runs.refuse(cfg, 'of 3 classes but got 4', SOFT)


def test_vote_for_a_class_that_does_not_exist_is_refused(annotators, tmp_path):
    for path in (tmp_path / 'noise/third').glob('*.png'):
        Image.fromarray(np.array(Image.open(path)) + 1).save(path)
    runs.refuse(annotators, 'soft labels that sum to 1', SOFT)
