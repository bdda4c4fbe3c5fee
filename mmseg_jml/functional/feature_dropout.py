"""Channel dropout that keeps complementary channels of two views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ['complementary_dropout']


def complementary_dropout(
    features: Sequence[Tensor], share: float = 0.5
) -> list[Tensor]:
    """Drop from each of two views the channels that the other one keeps.

    With m ~ Bernoulli(1/2) for each channel of an image, the features of its
    first view become ``2 * m * x``, those of its second ``2 * (1 - m) * x``:
    "UniMatch V2: Pushing the Limit of Semi-Supervised Semantic Segmentation"
    (arXiv 2410.10777). As in the authors' code, only a share of the images is
    treated, and levels with the same number of channels share m. Random
    numbers come from torch's default generator.

    Args:
        features (Sequence[Tensor]): (2 N, C, *) floats, of one level each.
            The second views follow the first ones in the same order.
        share (float): Share of the images that are treated, in [0, 1]; the
            number of others is rounded down. Defaults to 0.5.

    Returns:
        list[Tensor]: The features after dropout, of the same shapes and
        dtypes.

    Examples:
        >>> _ = torch.manual_seed(0)
        >>> views = torch.ones(2, 4)
        >>> complementary_dropout([views], share=1.0)[0]
        tensor([[0., 2., 2., 0.],
                [2., 0., 0., 2.]])
    """
    number = len(features[0]) // 2
    spared = torch.randperm(number)[: int(number * (1 - share))]
    factors: dict[int, Tensor] = {}
    dropped = []
    for feature in features:
        channels = feature.shape[1]
        if channels not in factors:
            first = 2.0 * torch.randint(2, (number, channels))
            first[spared] = 1.0
            factors[channels] = torch.cat((first, 2 - first)).to(feature)
        factor = factors[channels].to(feature)
        ones = [1] * (feature.ndim - 2)
        dropped.append(feature * factor.view(-1, channels, *ones))
    return dropped
