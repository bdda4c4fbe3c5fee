"""How much more than the plain formula in its dtype a fast one may err.

A result passes where abs(truth - fast) <= abs(truth - plain) + EXCESS times
the largest value: truth is the plain formula in float64, on the same rounded
inputs. float16 and bfloat16 logits are computed in float32; what differs is
the rounding of their gradient, by half a unit in the last place.
"""

import torch

# Sums in float64 against loops in float64, or in another order; of many
# pixels or large slopes, the sums are large too.
SUMMED = 1e-12
EXACT = dict(rtol=0, atol=SUMMED)
LARGE_SUMS = dict(rtol=SUMMED, atol=SUMMED)
# Upsampled in float64: weights and sums of interpolation are rounded in
# another order than by F.interpolate.
UPSAMPLED = 1e-9
# Temperatures, of which `fit_temperature` promises as much, relative.
FITTED = 3e-4
# Figures in percent, from float64; from float32, as torchmetrics and recorded
# figures have them.
FIGURES, ROUNDED_FIGURES = 1e-9, 1e-4
# Figures that are logged with two decimals.
TWO_DECIMALS = 0.005
# Recorded losses and gradients, which were computed in float32.
RECORDED = {torch.float64: 1e-7, torch.float32: 1e-5}

# Logged losses and figures of a float32 run, relative, against sums by hand.
LOGGED = 1e-5
# Gradients of such a run, against those of the losses added up by hand.
GRADIENTS = dict(rtol=1e-3, atol=1e-6)
# What two float32 runs compute in two ways, as at two resolutions: losses,
# relative, and images, features and gradients.
TWO_WAYS = 1e-4
TENSORS_TWO_WAYS = dict(rtol=1e-4, atol=1e-5)
# The same after some steps, of which each goes on with such differences.
LATER, WEIGHTS_LATER = 1e-3, dict(rtol=1e-3, atol=1e-5)
# mIoU after them, in percent: one pixel of 1000 has another class.
MIOU_LATER = 0.1
# Two runs that GPUs, or other loops, may sum up in another order.
OTHER_ORDER = 1e-5
# Runs under autocast, whose bfloat16 has a unit of 2^-8: in two ways, and
# against a run in float32.
AUTOCAST, AUTOCAST_OR_NOT = 2e-2, 0.05

EXCESS = {
    torch.float64: 1e-13,
    torch.float32: 1e-6,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8,
}
# The same of values about 1 that have no plain formula in that dtype.
FLOAT32, FLOAT16 = EXCESS[torch.float32], EXCESS[torch.float16]


def assert_within_budget(fast, plain, truth, dtype, name='value'):
    """Compares tensors element by element, and names the worst."""
    fast, plain, truth = (x.detach().double() for x in (fast, plain, truth))
    allowed = (plain - truth).abs() + EXCESS[dtype] * truth.abs().max()
    excess = (fast - truth).abs() - allowed
    if not excess.numel():
        return
    worst = excess.argmax()
    # a NaN is never within
    assert excess.flatten()[worst] <= 0, (
        f'{name}, element {worst}: fast {fast.flatten()[worst]}, '
        f'plain {plain.flatten()[worst]}, truth {truth.flatten()[worst]}'
    )
