"""AveragingTTAModel, by what an evaluation makes of its scores."""

import pytest
import torch
from mmseg.models import EncoderDecoder

import mmseg_jml  # noqa: F401 (fills the registries)

from .evaluation import (
    IMAGES,
    assert_figures,
    augmented,
    by_loops,
    evaluate,
    one_channel,
)


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
