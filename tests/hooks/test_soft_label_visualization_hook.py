"""Pictures of soft labels, and what is on them."""

import itertools
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg_jml.hooks import soft_label_visualization_hook as module
from tests.devices import move
from tests.drawing import drawn_by
from tests.metrics.evaluation import DropThird

from . import runs, semi

SHOW = dict(type='mmseg_jml.SoftLabelVisualizationHook', interval=2)
BOUNDARY = dict(mode='boundary', epsilon=0.5, kernel_size=3)


@pytest.fixture
def shown(monkeypatch):
    """Pictures in the order in which they are drawn."""
    pictures, draw = [], module.draw_soft_labels

    def keep(found, palette):
        pictures.append(move(found, 'cpu'))
        return draw(found, palette)

    monkeypatch.setattr(module, 'draw_soft_labels', keep)
    return pictures


def smooth(cfg, smoothing=BOUNDARY):
    cfg.model.decode_head.loss_decode.label_smoothing = smoothing


def batch(record: runs.Record, step: int = 0):
    """Images (RGB) and labels of a step, as the loader made them."""
    loaded = record.batches[step]
    images = [
        image.flip(0).permute(1, 2, 0).numpy() for image in loaded['inputs']
    ]
    labels = [sample.gt_sem_seg.data[0] for sample in loaded['data_samples']]
    return images, labels


@pytest.mark.parametrize('own', [None, 1])
def test_smoothed_label(cfg, shown, own):
    """Half the probability leaves a boundary pixel, to all classes alike.

    Pixels that the loss ignores by itself count for no more than others.
    """
    smooth(cfg)
    cfg.model.decode_head.loss_decode.ignore_index = own
    ignored = torch.tensor([255 if own is None else own, 255])
    drawn = drawn_by(cfg)
    record = runs.train(cfg, SHOW)
    name = 'soft_label_decode_smoothed'
    assert list(drawn) == [(name, 1), (name, 3)]
    for step, pictures in zip((0, 2), shown):
        images, labels = batch(record, step)
        assert len(pictures) == len(images) == 2
        for picture, image, label in zip(pictures, images, labels):
            np.testing.assert_array_equal(picture.image, image)
            assert torch.equal(picture.label, label)
            for h, w in np.ndindex(*label.shape):
                near = label[max(h - 1, 0) : h + 2, max(w - 1, 0) : w + 2]
                expected = 1.0
                if (near != near[0, 0]).any() and not (
                    torch.isin(near, ignored).any()
                ):
                    expected = 0.5 + 0.5 / 3
                counts = not torch.isin(label[h, w], ignored)
                assert picture.weight[h, w] == counts
                if counts:
                    found = picture.soft[label[h, w], h, w]
                    assert float(found) == pytest.approx(expected)


@pytest.mark.parametrize('hooks', [[], [runs.HEAD_RESOLUTION]])
def test_teacher(cfg, shown, tmp_path, hooks):
    cfg.model.decode_head.update(in_index=1, in_channels=8)  # half the sides
    teacher = runs.write_teacher(tmp_path / 'teacher', cfg.model)
    drawn = drawn_by(cfg)
    hooks = [runs.distil(teacher), dict(SHOW, images=1), *hooks]
    record = runs.train(cfg, *hooks)
    names = {name for name, _ in drawn}
    assert names == {'soft_label_decode_kd', 'soft_label_aux_kd'}
    model = runs.read_teacher(teacher)
    inputs, _ = runs.prepared(model, record.batches[0])
    (picture,) = shown[0]
    expected = runs.answer(model, inputs).softmax(1)[0].cpu()
    torch.testing.assert_close(picture.soft, expected)
    (image, _), (label, _) = batch(record)
    np.testing.assert_array_equal(picture.image, image)
    assert torch.equal(picture.weight > 0, label != 255)


def test_pseudo_labels(cfg, shown, pictures):
    """The student's image, the teacher's probabilities, what counts."""
    semi.certain(cfg)
    drawn = drawn_by(cfg)
    options = dict(threshold=semi.THRESHOLD, **semi.PLAIN)
    record, steps = semi.learn(cfg, pictures, SHOW, **options)
    names = [f'soft_label_{head}_pseudo' for head in ('decode', 'aux')]
    assert set(drawn) == {*itertools.product(names, (1, 3))}
    images = steps.images[0]
    known = runs.answer(runs.started(cfg, record), images).softmax(1).cpu()
    valid = semi.not_padded(images, steps.samples[0]).cpu()
    for picture, image, soft, own in zip(shown[0], images, known, valid):
        torch.testing.assert_close(picture.soft, soft)
        sure = own & (soft.max(0).values >= semi.THRESHOLD)
        assert torch.equal(picture.weight > 0, sure)
        assert picture.weight.sum() == sure.sum()
        rgb = (image.cpu().flip(0).permute(1, 2, 0) * 64 + 128).numpy()
        # of 255, rounded
        np.testing.assert_allclose(picture.image[own], rgb[own], atol=1)


def test_pictures_are_files_too_and_change_nothing(cfg, tmp_path):
    smooth(cfg)
    teacher = runs.write_teacher(tmp_path / 'teacher', cfg.model)
    plain = runs.train(cfg, runs.distil(teacher))
    drawn = drawn_by(cfg)
    runs.assert_same_run(plain, runs.train(cfg, runs.distil(teacher), SHOW))
    assert {name.rpartition('_')[2] for name, _ in drawn} == {'smoothed', 'kd'}
    for (name, step), image in drawn.items():
        (path,) = Path(cfg.work_dir).rglob(f'vis_image/{name}_{step}.png')
        np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], image)
        assert image.std() > 0


def test_one_channel(cfg, shown):
    """The classes are background and foreground."""
    runs.set_heads(cfg.model, num_classes=2, out_channels=1)
    cfg.model.decode_head.loss_decode.use_sigmoid = True
    cfg.model.auxiliary_head.loss_decode.use_sigmoid = True
    cfg.train_dataloader.dataset.metainfo = dict(classes=('a', 'b'))
    cfg.train_dataloader.dataset.pipeline.insert(2, dict(type=DropThird))
    smooth(cfg, dict(mode='uniform', epsilon=0.5))
    record = runs.train(cfg, SHOW)
    (picture, _) = shown[0]
    _, (label, _) = batch(record)
    assert picture.soft.shape == (2, 32, 32)
    for c, expected in enumerate(([0.75, 0.25], [0.25, 0.75])):
        found = picture.soft[:, label == c].unique(dim=1).flatten().tolist()
        assert found == pytest.approx(expected)


def test_nothing_to_draw(cfg):
    with pytest.raises(ValueError, match='soft labels to draw.*label_smooth'):
        runs.train(cfg, SHOW)


@pytest.mark.parametrize('name', ['interval', 'images'])
@pytest.mark.parametrize('value', [0, math.nan, 1.5, 'x', None])
def test_option_that_cannot_be(name, value):
    match = f'{name} to be 1 or more but got {value!r}'
    with pytest.raises(ValueError, match=match):
        module.SoftLabelVisualizationHook(**{name: value})
