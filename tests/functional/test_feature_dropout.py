"""Two views keep what the other one lacks."""

import pytest
import torch

from tests.functional.on_device import complementary_dropout


@pytest.mark.parametrize('number', [1, 4, 5])
@pytest.mark.parametrize('share', [0.25, 0.5, 1.0])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_factors_of_each_channel(number, share, dtype):
    """0 and 2, or 2 and 0; 1 and 1 in the images that are spared."""
    sizes = [(8, 3, 5), (16, 2, 2), (8, 1, 1)]
    levels = [torch.ones(2 * number, *size, dtype=dtype) for size in sizes]
    found = complementary_dropout(levels, share)
    factors = []
    for level, value in zip(levels, found):
        assert value.dtype == dtype
        assert value.shape == level.shape
        corner = value[:, :, 0, 0]
        assert torch.equal(value, corner[:, :, None, None].expand_as(value))
        first, second = corner.float().chunk(2)
        assert ((first == 0) | (first == 2) | (first == 1)).all()
        assert torch.equal(second, 2 - first)
        factors.append(first)
    # levels with as many channels have the same factors
    assert torch.equal(factors[0], factors[2])
    spared = [(factor == 1).all(1) for factor in factors]
    assert torch.equal(spared[0], spared[1])
    assert spared[0].sum() == int(number * (1 - share))
    for factor, one in zip(factors, spared):
        assert ((factor == 1).any(1) == one).all()


def test_half_of_the_channels_go():
    (found,) = complementary_dropout([torch.ones(400, 64)], 1.0)
    gone = (found == 0).float()
    assert gone.mean() == 0.5
    # four standard errors of 200 x 64 throws
    assert float(gone[:200].mean()) == pytest.approx(0.5, abs=0.02)
