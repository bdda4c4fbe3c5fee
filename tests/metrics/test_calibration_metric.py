"""CalibrationMetric as a config lists it."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmseg.models import EncoderDecoder
from mmseg.registry import METRICS
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
)

import mmseg_jml  # noqa: F401 (fills the registries)
from tests.drawing import drawn_by
from tests.metric_oracles import assert_same, calibration_figures
from tests.tolerances import FIGURES, ROUNDED_FIGURES

from .evaluation import (
    CALIBRATION,
    IMAGES,
    SIZES,
    evaluate,
    evaluation_config,
    log_of,
    one_channel,
)

NAMES = ('ECED', 'ECEI', 'SCED', 'SCEI', 'NLL', 'Brier')


def assert_figures(figures: dict, expected: dict) -> None:
    ours = {name: figures[name] for name in NAMES}
    assert_same(ours, expected, ROUNDED_FIGURES)


def by_loops(heard, probs) -> dict:
    probs = [prob.flatten(1).numpy() for prob in probs]
    return calibration_figures(probs, [one.label.flatten() for one in heard])


@pytest.fixture
def cfg(scenes, tmp_path):
    return evaluation_config(scenes, tmp_path, CALIBRATION)


@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_figures_of_a_run(cfg, mode):
    cfg.model.test_cfg.mode = mode
    cfg.model.test_cfg.update(crop_size=(32, 32), stride=(16, 16))
    figures, heard, runner = evaluate(cfg)
    assert [one.scores.shape for one in heard] == [(3, *s) for s in SIZES]
    probs = [one.scores.double().softmax(0) for one in heard]
    assert_figures(figures, by_loops(heard, probs))
    pixels = torch.cat([prob.flatten(1).T for prob in probs])
    label = torch.cat([one.label.flatten() for one in heard])
    theirs = multiclass_calibration_error(
        pixels, label, 3, n_bins=10, ignore_index=255
    )
    assert figures['ECED'] == pytest.approx(
        100 * theirs.item(), abs=ROUNDED_FIGURES
    )
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
    expected['NLL'] = binary_entropy(heard, probs)
    assert_figures(figures, expected)


def binary_entropy(heard, probs) -> float:
    """Mean over pixels of the sum over classes, from the definition."""
    total, pixels = 0.0, 0
    for one, prob in zip(heard, probs):
        kept = one.label[0] != 255
        for c in range(len(prob)):
            right = torch.where(one.label[0] == c, prob[c], 1 - prob[c])
            total -= right[kept].log().sum().item()
        pixels += kept.sum().item()
    return total / pixels


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


def augmented(cfg, model_type: str) -> None:
    """Turns on test-time augmentation as `tools/test.py --tta` does."""
    resize = dict(type='Resize', keep_ratio=True)
    flip = dict(type='RandomFlip', direction='horizontal')
    transforms = [
        [dict(resize, scale_factor=s) for s in (1.0, 1.5)],
        [dict(flip, prob=p) for p in (0.0, 1.0)],
        [dict(type='LoadAnnotations')],
        [dict(type='PackSegInputs')],
    ]
    cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='TestTimeAug', transforms=transforms),
    ]
    cfg.model = dict(type=model_type, module=cfg.model)


def test_augmentation(cfg, monkeypatch):
    """The figures are those of the mean of the probabilities."""
    kept = []

    def postprocess(self, logits, samples):
        result = original(self, logits, samples)
        kept.append(result[0].seg_logits.data.cpu().double().softmax(0))
        return result

    original = EncoderDecoder.postprocess_result
    monkeypatch.setattr(EncoderDecoder, 'postprocess_result', postprocess)
    augmented(cfg, 'mmseg_jml.AveragingTTAModel')
    figures, heard, _ = evaluate(cfg, test=True)
    assert len(kept) == 4 * IMAGES
    means = [sum(kept[4 * i : 4 * i + 4]) / 4 for i in range(IMAGES)]
    assert_figures(figures, by_loops(heard, means))
    for one, mean in zip(heard, means):
        assert torch.equal(one.prediction[0], mean.argmax(0))


def test_stock_augmentation_is_refused(cfg):
    augmented(cfg, 'SegTTAModel')
    with pytest.raises(ValueError, match='mmseg_jml.AveragingTTAModel'):
        evaluate(cfg, test=True)


def test_augmentation_predicts_what_mmseg_predicts(cfg):
    cfg.test_evaluator = cfg.test_evaluator[:1]
    predictions = []
    for model in ('SegTTAModel', 'mmseg_jml.AveragingTTAModel'):
        one = copy.deepcopy(cfg)
        one.experiment_name = model
        augmented(one, model)
        heard = evaluate(one, test=True)[1]
        predictions.append([x.prediction.reshape(-1) for x in heard])
    assert all(map(torch.equal, *predictions))


def test_augmentation_with_one_channel(cfg):
    """The mean of probabilities, each the sigmoid of a logit, not twice."""
    one_channel(cfg)
    augmented(cfg, 'mmseg_jml.AveragingTTAModel')
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[1].transforms.insert(3, [dict(type='DropThird')])
    figures, heard, _ = evaluate(cfg, test=True)
    assert min(one.scores.min() for one in heard) < 0.4
    for one in heard:
        assert torch.equal(one.prediction, (one.scores > 0.4).float())
    assert 0 < figures['ECED'] < 100


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
