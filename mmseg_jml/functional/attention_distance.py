"""Distance between the attention maps of a student and of its teacher."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .feature_maps import exact, of_one_size

__all__ = ['attention_distance']


def attention_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute one minus the cosine between two attention maps.

    Attention transfer of "Paying More Attention to Attention: Improving the
    Performance of Convolutional Neural Networks via Attention Transfer"
    (arXiv 1612.03928): the map of an image is the sum of squares over its
    channels, so that student and teacher may have different numbers of them.
    For features of one size it is equal to::

        s, t = student.square().sum(1), teacher.square().sum(1)
        (1 - F.cosine_similarity(s.flatten(1), t.flatten(1))).mean()

    That is half the squared norm of equation 2. The authors' code takes the
    mean over the H W pixels in place of the sum and weighs it with 1000; their
    term is 2000 / (H W) times this one.

    Args:
        student (Tensor): (N, C, H, W) floats.
        teacher (Tensor): (N, D, h, w). Where height and width differ, the
            smaller of the two maps is resized bilinearly.

    Returns:
        Tensor: A scalar in [0, 1], the mean over images. Float32, or float64
        for a float64 student.

    Examples:
        >>> import torch
        >>> student = torch.tensor([[[[1.0, 1.0]]]])
        >>> attention_distance(student, torch.tensor([[[[1.0, 0.0]]]]))
        tensor(0.2929)
    """
    maps = of_one_size(
        *(
            exact(value).square().sum(1, keepdim=True)
            for value in (student, teacher)
        )
    )
    first, second = (F.normalize(value.flatten(1)) for value in maps)
    return (first - second).square().sum(1).mean() / 2
