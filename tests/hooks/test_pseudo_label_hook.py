"""A stock student learns from images without labels in a real run."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tolerances import LOGGED

from .distillation import Lessons, assert_same, build, forward, load, train
from .semi import PLAIN, THRESHOLD, certain, learn


def test_teacher_is_the_average_of_weights_and_statistics(cfg, pictures):
    cfg.train_cfg.max_iters = 5
    cfg.default_hooks.checkpoint.interval = 5
    _, steps = learn(cfg, pictures, momentum=0.6)
    expected = copy.deepcopy(steps.states[0])
    for state, ratio in zip(steps.states, (0, 0.5, 0.6, 0.6, 0.6)):
        for name, value in state.items():
            if value.is_floating_point():
                expected[name] = ratio * expected[name] + (1 - ratio) * value
    saved = load(f'{cfg.work_dir}/iter_5.pth')['pseudo_label_teacher']
    assert saved.pop('steps') == 5
    assert saved.keys() == {f'module.{name}' for name in expected}
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(saved[f'module.{name}'], value.cpu())
    assert any('running_var' in name for name in saved)


def test_student_in_a_checkpoint_is_that_of_a_run_without_the_hook(
    cfg, pictures
):
    train(cfg)
    plain = load(f'{cfg.work_dir}/iter_3.pth')
    record, _ = learn(cfg, pictures)
    semi = load(f'{cfg.work_dir}/iter_3.pth')
    assert semi.keys() - plain.keys() == {'pseudo_label_teacher'}
    assert semi['state_dict'].keys() == plain['state_dict'].keys()
    assert_same(semi['state_dict'], record.model.state_dict())
    assert not record.model._forward_hooks
    assert not record.model.decode_head.loss_decode._forward_pre_hooks


def test_terms_are_logged_by_name_and_summed(cfg, pictures):
    log = learn(cfg, pictures)[0].logs[0]
    terms = {name for name in log if 'loss' in name} - {'loss'}
    assert terms == {
        'decode.loss_jml_ce',
        'decode.loss_pseudo_jml_ce',
        'aux.loss_ce',
        'aux.loss_pseudo_ce',
    }
    assert log['loss'] == pytest.approx(sum(log[name] for name in terms))
    assert 'pseudo_mIoU' not in log  # these images have no labels


def test_pseudo_labels_are_measured_where_there_are_labels(
    cfg, pictures, tmp_path
):
    """The mask files are found, loaded and turned as the images are."""
    loader = dict(dataset=copy.deepcopy(dict(cfg.train_dataloader.dataset)))
    loader['dataset'].pop('pipeline')
    record, steps = learn(cfg, pictures, unlabeled_dataloader=loader)
    student = build(cfg.model).eval()
    student.load_state_dict(record.start)
    with torch.no_grad():
        label = forward(student, steps.images[0])[0].argmax(1)
    truth = torch.cat([s.gt_sem_seg.data for s in steps.samples[0]])
    ious = [
        ((label == c) & (truth == c)).sum()
        / ((label == c) | (truth == c))[truth != 255].sum()
        for c in range(3)
    ]
    assert record.logs[0]['pseudo_mIoU'] == pytest.approx(
        100 * float(sum(ious)) / 3, rel=LOGGED
    )


def test_images_are_those_of_the_files(cfg, pictures):
    """Read, normalised and padded by hand."""
    cfg.model.data_preprocessor.size = (56, 60)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    cfg.train_dataloader.dataset.pipeline[2:3] = []
    cfg.train_dataloader.dataset.pipeline[2].crop_size = (56, 60)
    loader = dict(
        batch_size=3,
        dataset=dict(
            type='BaseSegDataset',
            data_root=str(pictures),
            data_prefix=dict(img_path=''),
            img_suffix='.png',
            pipeline=pipeline,
        ),
    )
    record, steps = learn(
        cfg, pictures, unlabeled_dataloader=loader, threshold=0.0, **PLAIN
    )
    assert steps.images[0].shape == (3, 3, 56, 60)
    for image, sample in zip(steps.images[0].cpu(), steps.samples[0]):
        rgb = np.array(Image.open(sample.img_path)).astype(np.float32)
        expected = torch.tensor(rgb[..., ::-1].copy()).permute(2, 0, 1)
        assert torch.equal(image[:, :48, :48], (expected - 128) / 64)
        assert not image[:, 48:].any()
        assert not image[:, :, 48:].any()
    assert record.logs[0]['pseudo_confident'] == 1  # of the valid pixels
    paths = [s.img_path for part in steps.samples for s in part]
    assert len(set(paths[:7])) == 7  # each image once before any again


def test_ramp_up(cfg, pictures):
    cfg.train_cfg.max_iters = 3
    ramp = dict(type='linear', start=0.0, stop=1.0, end=2)
    record, _ = learn(cfg, pictures, loss_weight=ramp, threshold=0.0, **PLAIN)
    term = 'decode.loss_pseudo_jml_ce'
    assert term not in record.logs[0]
    assert 'pseudo_confident' not in record.logs[0]
    assert record.logs[1][term] > 0
    logged = record.runner.message_hub.log_scalars['train/loss_weight']
    assert list(logged.data[0]) == [0, 0.5, 1]


def test_views(cfg, pictures):
    """Two strong views of each image, of the same pixels and labels."""

    certain(cfg)
    lessons = Lessons()
    _, steps = learn(
        cfg,
        pictures,
        lessons,
        views=2,
        soft=False,
        threshold=THRESHOLD,
        cutmix=0.0,
    )
    (inputs, _, outputs), targets, _ = lessons.found[0]
    soft = targets['decode']
    weak = steps.images[0]
    assert inputs.shape == (4, *weak.shape[1:])
    assert outputs['decode'].logits.shape[0] == 4
    first, second = inputs.chunk(2)
    for view in (first, second):
        assert not torch.equal(view, weak)
    assert not torch.equal(first, second)
    one, two = soft.target.label.chunk(2)
    assert torch.equal(one, two)
    one, two = soft.weight.chunk(2)
    assert torch.equal(one, two)
