"""FineGrainedIoUMetric as a config lists it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmseg.registry import METRICS
from PIL import Image

import mmseg_jml  # noqa: F401 (fills the registries)
from tests.metric_oracles import assert_same, iou_figures
from tests.tiny_run import CLASSES
from tests.tolerances import FIGURES, TWO_DECIMALS

from .evaluation import (
    CALIBRATION,
    IOU,
    evaluate,
    evaluation_config,
    log_of,
    one_channel,
)

STOCK = {'aAcc', 'mIoU', 'mAcc', 'mDice'}


def ours(figures: dict) -> dict:
    return {k: v for k, v in figures.items() if k not in STOCK}


def row_of(log: list[str], name: str) -> list[str]:
    """The last row of a table with this name, without the name."""
    rows = [[x.strip() for x in line.split('|')[1:-1]] for line in log]
    return [row[1:] for row in rows if row and row[0] == name][-1]


def by_loops(heard, classes=3, q=5, binary=False) -> dict:
    predictions = [one.prediction.flatten().long() for one in heard]
    labels = [one.label.flatten() for one in heard]
    return iou_figures(predictions, labels, classes, q, binary)


@pytest.mark.parametrize('test_loop', [False, True])
def test_figures_and_tables_of_a_run(scenes, tmp_path, test_loop):
    """Classes with their images, and the images that are worst by name."""
    options = dict(worst=20, worst_images=2)
    cfg = evaluation_config(scenes, tmp_path, dict(IOU, **options))
    figures, heard, runner = evaluate(cfg, test_loop)
    assert len(heard) == 7
    assert_same(ours(figures), by_loops(heard, q=20), FIGURES)
    assert figures['mIoUD'] == pytest.approx(figures['mIoU'], abs=TWO_DECIMALS)
    log = log_of(runner)
    for c, name in enumerate(CLASSES):
        images = sum((one.label == c).any().item() for one in heard)
        assert row_of(log, name)[-1] == str(images)
    assert row_of(log, 'mIoU')[1] == f'{figures["mIoUI"]:.2f}'

    scores = [by_loops([one])['mIoUI'] for one in heard]
    worst = np.argsort(scores)[:2]
    named = [line.split('|') for line in log if line.startswith('| /')]
    paths = [str(scenes / 'images' / f'{i}.png') for i in worst]
    assert [row[1].strip() for row in named] == paths
    found = [float(row[2]) for row in named]
    assert found == pytest.approx([scores[i] for i in worst], abs=TWO_DECIMALS)


def test_absent_class_is_shown_and_left_out(scenes, tmp_path):
    """A fourth class without a pixel changes the mean of no level."""
    cfg = evaluation_config(scenes, tmp_path, IOU)
    without = ours(evaluate(cfg)[0])
    cfg = evaluation_config(scenes, tmp_path / 'more', IOU)
    cfg.val_dataloader.dataset.metainfo = dict(classes=(*CLASSES, 'boat'))
    figures, _, runner = evaluate(cfg)
    assert_same(ours(figures), without, FIGURES)
    assert row_of(log_of(runner), 'boat') == ['nan'] * 5 + ['0']


def test_binary_head_with_one_channel(scenes, tmp_path):
    cfg = evaluation_config(scenes, tmp_path, dict(IOU, binary=True))
    one_channel(cfg)
    figures, heard, _ = evaluate(cfg)
    assert heard[0].scores.shape[0] == 1
    assert_same(ours(figures), by_loops(heard, 2, binary=True), FIGURES)


def test_reduce_zero_label(scenes, tmp_path):
    """The masks' class 0 is ignored, 1 and 2 become the two classes."""
    cfg = evaluation_config(scenes, tmp_path, IOU)
    dataset = cfg.val_dataloader.dataset
    dataset.update(reduce_zero_label=True, metainfo=dict(classes=('a', 'b')))
    dataset.pipeline[1].reduce_zero_label = True
    cfg.model.decode_head.num_classes = 2
    figures, heard, _ = evaluate(cfg)
    for i, one in enumerate(heard):
        mask = np.asarray(Image.open(scenes / 'masks' / f'{i}.png'))
        wanted = np.where((mask == 0) | (mask == 255), 255, mask - 1)
        np.testing.assert_array_equal(one.label[0], wanted)
    assert_same(ours(figures), by_loops(heard, 2), FIGURES)


def test_names(scenes, tmp_path):
    metric = dict(type='FineGrainedIoUMetric', prefix='fine')
    cfg = evaluation_config(scenes, tmp_path, metric)
    figures = evaluate(cfg)[0]
    assert {'fine/mIoUI', 'fine/mIoUI5', 'fine/mIoUIQ'} < figures.keys()


def test_options_are_checked_before_an_evaluation():
    with pytest.raises(ValueError, match=r'worst to be .* in \(0, 100\]'):
        METRICS.build(dict(IOU, worst=0))
    with pytest.raises(ValueError, match='worst_images .* whole .* got -3'):
        METRICS.build(dict(IOU, worst_images=-3))


@pytest.mark.parametrize(
    ('label', 'error', 'message'),
    [
        (None, KeyError, 'gt_sem_seg in the prediction.*LoadAnnotations'),
        (torch.zeros(1, 2, 2), ValueError, r'\(4, 4\), but got \(2, 2\)'),
        (
            torch.full((1, 4, 4), 7),
            ValueError,
            r'label in \[0, 2\).*got \[7\]',
        ),
    ],
)
def test_samples_that_cannot_be(label, error, message):
    metric = METRICS.build(dict(IOU))
    metric.dataset_meta = dict(classes=('a', 'b'))
    sample = dict(pred_sem_seg=dict(data=torch.zeros(1, 4, 4)))
    if label is not None:
        sample['gt_sem_seg'] = dict(data=label)
    with pytest.raises(error, match=message):
        metric.process({}, [sample])


@pytest.mark.parametrize(
    'name', ['FineGrainedIoU', 'Calibration', 'Temperature']
)
def test_label_that_cannot_be_ignored(name):
    entry = dict(type=f'mmseg_jml.{name}Metric', ignore_index='x')
    with pytest.raises(
        TypeError, match="ignore_index .* integer, but got 'x'"
    ):
        METRICS.build(entry)


@pytest.mark.parametrize('evaluator', [IOU, CALIBRATION])
def test_no_image(evaluator):
    metric = METRICS.build(dict(evaluator))
    metric.dataset_meta = dict(classes=('a', 'b'))
    with pytest.raises(ValueError, match='an image to evaluate, but got none'):
        metric.evaluate(0)
