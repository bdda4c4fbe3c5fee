"""Test-time augmentation whose `seg_logits` fit its prediction."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from ..functional import average_scores
from ..heads import predicting_head
from ..registry import MODELS

__all__ = ['AveragingTTAModel']


@MODELS.register_module()
class AveragingTTAModel(BaseTTAModel):
    """Average the probabilities of augmented images.

    From several channels it predicts the same classes as mmseg's
    ``SegTTAModel``. That one, however, leaves the logits of the last
    augmentation in ``seg_logits``; this one leaves logits whose softmax is
    the averaged probability, as a metric of confidence needs. From a single
    channel, of which mmseg stores the probability, it averages that, where
    ``SegTTAModel`` applies the sigmoid a second time.

    Args:
        module (dict | nn.Module): The segmentor.
        data_preprocessor (dict, optional): The data preprocessor of the
            segmentor, if that is a dict. Defaults to None.

    Examples:
        >>> tta_model = dict(type='mmseg_jml.AveragingTTAModel')
    """

    def merge_preds(
        self, data_samples_list: Sequence[Sequence[SegDataSample]]
    ) -> list[SegDataSample]:
        """Merge the predictions of each image's augmentations.

        Returns:
            list[SegDataSample]: The first sample of each image, with the
            averaged ``seg_logits`` (C, H, W) and the ``pred_sem_seg``
            (1, H, W) that follows from it.
        """
        return [self._merge(samples) for samples in data_samples_list]

    def _merge(self, samples: Sequence[SegDataSample]) -> SegDataSample:
        scores = [sample.seg_logits.data for sample in samples]
        # heads that classify masks have none, and need none
        threshold = getattr(predicting_head(self.module), 'threshold', 0.5)
        mean, prediction = average_scores(scores, threshold)
        merged = samples[0]
        merged.set_data(
            dict(
                seg_logits=PixelData(data=mean),
                pred_sem_seg=PixelData(data=prediction),
            )
        )
        return merged
