"""CalibrationMetric as a config lists it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmseg.registry import METRICS

import mmseg_jml  # noqa: F401 (fills the registries)
from tests.drawing import drawn_by
from tests.tolerances import FIGURES

from .evaluation import (
    CALIBRATION,
    SIZES,
    assert_figures,
    by_loops,
    evaluate,
    log_of,
    one_channel,
)


@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_figures_of_a_run(cfg, mode):
    cfg.model.test_cfg.mode = mode
    cfg.model.test_cfg.update(crop_size=(32, 32), stride=(16, 16))
    figures, heard, runner = evaluate(cfg)
    assert [one.scores.shape for one in heard] == [(3, *s) for s in SIZES]
    probs = [one.scores.double().softmax(0) for one in heard]
    assert_figures(figures, by_loops(heard, probs))
    log = '\n'.join(log_of(runner))
    assert f' {figures["ECED"]:.2f} ' in log
    assert f' {figures["NLL"]:.4f} ' in log
    assert ' mean probability | share of pixels ' in log
    # no diagram unless asked for, and a second evaluation starts afresh
    assert not list(Path(cfg.work_dir).rglob('*.png'))
    assert runner.val() == pytest.approx(figures, abs=FIGURES)


def test_sigmoid_head(cfg):
    cfg.val_evaluator[1].scores = 'sigmoid'
    cfg.model.decode_head.loss_decode.use_sigmoid = True
    figures, heard, _ = evaluate(cfg)
    probs = [one.scores.double().sigmoid() for one in heard]
    expected = by_loops(heard, probs)
    # the sum over the three classes of binary cross-entropies
    prob = torch.cat([one.flatten(1) for one in probs], 1)
    label = torch.cat([one.label.flatten() for one in heard])
    kept = label != 255
    onehot = F.one_hot(label[kept], 3).T.double()
    entropy = F.binary_cross_entropy(prob[:, kept], onehot)
    assert_figures(figures, dict(expected, NLL=3 * entropy.item()))


def test_one_channel(cfg):
    """mmseg keeps its sigmoid: the probability of the second class."""
    one_channel(cfg, threshold=0.5)
    figures, heard, _ = evaluate(cfg)
    scores = [one.scores.double() for one in heard]
    probs = [torch.cat([1 - score, score]) for score in scores]
    assert_figures(figures, by_loops(heard, probs))


def test_options_reach_the_figures(cfg):
    cfg.val_evaluator[1].update(prefix='ten')
    for name, change in (
        ('one', dict(num_bins=1)),
        ('mass', dict(binning='equal_mass')),
        ('authors', dict(sce='authors')),
    ):
        cfg.val_evaluator.append(dict(CALIBRATION, prefix=name, **change))
    figures = evaluate(cfg)[0]
    assert figures['one/ECED'] < figures['ten/ECED'] != figures['mass/ECED']
    assert figures['authors/ECED'] == pytest.approx(figures['ten/ECED'])
    assert figures['authors/SCED'] != 10 * figures['ten/SCED']


def test_diagrams(cfg):
    """A PNG in the work directory, and the same picture to a backend."""
    cfg.val_evaluator[1].update(plot=True, plot_classes=True)
    drawn = drawn_by(cfg)
    evaluate(cfg)
    assert {*drawn} == {('reliability', 0), ('reliability_classes', 0)}
    for (name, step), image in drawn.items():
        (path,) = Path(cfg.work_dir).rglob(f'{name}_{step}.png')
        np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], image)


def test_diagram_without_a_local_backend(cfg):
    cfg.val_evaluator[1].plot = True
    cfg.visualizer = dict(type='SegLocalVisualizer', vis_backends=[])
    evaluate(cfg)
    (path,) = Path(cfg.work_dir).rglob('vis_data/vis_image/reliability_0.png')
    assert cv2.imread(str(path)).std() > 0


def process(logits=None, prediction=None, **options) -> None:
    metric = METRICS.build(dict(CALIBRATION, **options))
    metric.dataset_meta = dict(classes=('a', 'b'))
    fields = dict(gt_sem_seg=torch.zeros(1, 2, 2))
    if logits is not None:
        fields['seg_logits'] = logits
        prediction = logits.argmax(0) if prediction is None else prediction
    else:
        prediction = torch.zeros(1, 2, 2)
    fields['pred_sem_seg'] = prediction
    metric.process({}, [{k: dict(data=v) for k, v in fields.items()}])


PROBABILITIES = torch.full((2, 2, 2), 0.5)
ONE_CHANNEL = torch.tensor([[[0.1, 0.2], [0.3, 0.4]]])
LOGITS = torch.tensor([[[1.0, 0], [0, 2]], [[0, 3.0], [4, 0]]])


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (
            (),
            KeyError,
            'Expected seg_logits in the prediction.*Let the model keep them',
        ),
        ((PROBABILITIES,), ValueError, "Set scores='probabilities'"),
        (
            (torch.zeros(2, 4, 4), torch.zeros(1, 2, 2)),
            ValueError,
            r'\(2, 2\), but got \(2, 4, 4\)',
        ),
        ((LOGITS, 1 - LOGITS.argmax(0)), ValueError, 'arg-max of seg_logits'),
        (
            (ONE_CHANNEL, torch.tensor([[1.0, 0], [0, 0]])),
            ValueError,
            'arg-max of seg_logits',
        ),
    ],
)
def test_predictions_that_cannot_be(arguments, error, message):
    with pytest.raises(error, match=message):
        process(*arguments)


def test_predictions_that_can_be():
    process(PROBABILITIES, scores='probabilities')
    process(PROBABILITIES, scores='logits')
    process(ONE_CHANNEL, torch.tensor([[0.0, 0], [0, 1]]))


def test_unknown_kind_of_scores():
    with pytest.raises(ValueError, match="scores to be one of .*'softmax'"):
        process(scores='softmax')
