"""Read classes, labels and scores from a prediction of mmseg."""

from __future__ import annotations

from torch import Tensor

from ..functional import are_probabilities, both_classes

__all__ = ['read_label', 'read_prediction', 'read_scores']


def read_prediction(sample: dict) -> Tensor:
    """Return the predicted classes, (H, W) int64."""
    data = _field(sample, 'pred_sem_seg')
    return data.reshape(data.shape[-2:]).long()


def read_label(sample: dict, prediction: Tensor) -> Tensor:
    """Return the ground truth, (H, W) int64.

    Raises:
        KeyError: If there is none.
        ValueError: If its shape is not that of the prediction.
    """
    data = _field(sample, 'gt_sem_seg')
    label = data.reshape(data.shape[-2:]).to(prediction)
    if label.shape != prediction.shape:
        raise ValueError(
            'Expected gt_sem_seg of the size of the prediction, '
            f'{tuple(prediction.shape)}, but got {tuple(label.shape)}. In the '
            'test pipeline LoadAnnotations comes after all that resizes.'
        )
    return label


def read_scores(
    sample: dict, prediction: Tensor, kind: str | None
) -> tuple[Tensor, str]:
    """Return the scores of each class, (C, H, W), and what they are.

    mmseg stores the logits of several channels, but the sigmoid of a single
    one, which is turned into the probabilities of two classes. What several
    channels hold is 'logits', 'sigmoid' or 'probabilities', as in
    :func:`mmseg_jml.functional.confidence_sums`; None means logits, and
    refuses what looks like probabilities.

    Raises:
        KeyError: If there are no scores.
        ValueError: If the prediction was not made from them, or if they look
            like probabilities and ``kind`` is None.
    """
    scores = _field(sample, 'seg_logits')
    if scores.shape[1:] != prediction.shape:
        raise ValueError(
            'Expected seg_logits of shape (C, H, W) with the size of '
            f'pred_sem_seg, {tuple(prediction.shape)}, but got '
            f'{tuple(scores.shape)}.'
        )
    one_channel = len(scores) == 1
    if one_channel:
        scores, kind = both_classes(scores), 'probabilities'
    elif kind is None:
        kind = 'logits'
        if are_probabilities(scores):
            raise ValueError(
                'Expected logits in seg_logits, but got numbers that are at '
                "least 0 and sum to 1. Set scores='probabilities', or "
                "scores='logits' if they are logits all the same."
            )
    _check_origin(scores, prediction, one_channel)
    return scores, kind


def _field(sample: dict, name: str) -> Tensor:
    if name in sample:
        return sample[name]['data']
    hints = dict(
        seg_logits='Let the model keep them: the predict method of mmseg '
        'segmentors does, by postprocess_result. Results that were saved as '
        'classes only have no confidence to evaluate.',
        gt_sem_seg='Add LoadAnnotations to the pipeline of the data set.',
    )
    raise KeyError(
        f'Expected {name} in the prediction, but got {sorted(sample)}. '
        f'{hints.get(name, "")}'
    )


def _check_origin(
    scores: Tensor, prediction: Tensor, one_channel: bool
) -> None:
    """Refuse scores that the prediction was not made from."""
    if one_channel:  # mmseg thresholds them, not always at one half
        found, missed = scores[1][prediction == 1], scores[1][prediction == 0]
        wrong = found.numel() and missed.numel() and found.min() < missed.max()
    else:
        chosen = scores.gather(0, prediction[None])[0]
        wrong = (chosen < scores.amax(0)).any()
    if wrong:
        raise ValueError(
            'Expected pred_sem_seg to be the arg-max of seg_logits, but got '
            'other classes. SegTTAModel of mmseg leaves the logits of the '
            'last augmentation there; use '
            "tta_model=dict(type='mmseg_jml.AveragingTTAModel')."
        )
