"""A teacher's predictions as the target of a student of any kind of head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mmseg_jml.kernels import TeacherLogits

__all__ = ['average_teachers', 'score_logits', 'teacher_target']


def score_logits(scores: Tensor) -> Tensor:
    """Return logits whose softmax is the scores divided by their sum.

    Heads that classify masks (Mask2Former) predict such scores: a sum over
    queries of class probability times mask.

    Args:
        scores (Tensor): (N, C, *), at least 0.

    Returns:
        Tensor: (N, C, *), finite.

    Examples:
        >>> score_logits(torch.tensor([[3.0, 1.0]])).softmax(1)
        tensor([[0.7500, 0.2500]])
    """
    return scores.clamp_min(torch.finfo(scores.dtype).tiny).log()


def teacher_target(
    logits: Tensor,
    is_sigmoid: bool,
    channels: int,
    use_sigmoid: bool,
    temperature: float = 1.0,
) -> TeacherLogits:
    """Make a teacher's logits the target of a student.

    Where the heads are of one kind this is ``TeacherLogits(logits)``. In all
    other cases the teacher's classes are made exclusive first: one channel z
    becomes (0, z), and the probabilities of several sigmoids are divided by
    their sum. A student with one channel learns the odds of the second class.

    Args:
        logits (Tensor): (N, C, *) of the teacher.
        is_sigmoid (bool): Whether the teacher's classes have sigmoids.
        channels (int): C of the student.
        use_sigmoid (bool): Whether the student's classes have sigmoids.
        temperature (float): Divides the logits. Defaults to 1.0.

    Returns:
        TeacherLogits: With ``channels`` channels, if both have the same
        number of classes.

    Examples:
        >>> one_channel = torch.tensor([[[0.0, 2.0]]])
        >>> teacher_target(one_channel, True, 2, False).value
        tensor([[[0., 0.],
                 [0., 2.]]])
    """
    if is_sigmoid and use_sigmoid and logits.shape[1] == channels:
        return TeacherLogits(logits, temperature, use_sigmoid=True)
    if is_sigmoid and logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    elif is_sigmoid:
        logits = F.logsigmoid(logits)
    if channels == 1:
        odds = logits[:, 1:] - logits[:, :1]
        return TeacherLogits(odds, temperature, use_sigmoid=True)
    return TeacherLogits(logits, temperature)


def average_teachers(
    targets: Sequence[TeacherLogits],
    use_sigmoid: bool,
    weights: Sequence[float] | None = None,
) -> TeacherLogits:
    """Average the probabilities of several teachers.

    Args:
        targets (Sequence[TeacherLogits]): Of one shape and temperature.
        use_sigmoid (bool): Whether the student's classes have sigmoids.
        weights (Sequence[float], optional): Weight of each teacher in the
            mean, above 0. None means equal weights. Defaults to None.

    Returns:
        TeacherLogits: The average, of the same temperature. A single target
        is returned as it is.

    Examples:
        >>> certain = TeacherLogits(torch.tensor([[50.0, 0.0]]))
        >>> undecided = TeacherLogits(torch.tensor([[0.0, 0.0]]))
        >>> average_teachers([certain, undecided], False).value.softmax(1)
        tensor([[0.7500, 0.2500]])
    """
    first = targets[0]
    if len(targets) == 1:
        return first
    classes, dtype = first.value.shape[1], first.value.dtype
    weights = weights or [1.0] * len(targets)
    mean = torch.zeros_like(first.value)
    for target, weight in zip(targets, weights):
        mean += target.dense(classes, dtype) * (weight / sum(weights))
    if use_sigmoid:
        logits = mean.logit(eps=torch.finfo(dtype).eps)
    else:
        logits = score_logits(mean)
    temperature = first.temperature
    return TeacherLogits(logits * temperature, temperature, use_sigmoid)
