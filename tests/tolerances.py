"""How much more than the plain formula in its dtype a fast one may err.

A result passes where abs(truth - fast) <= abs(truth - plain) + EXCESS times
the largest value: truth is the plain formula in float64, on the same rounded
inputs. float16 and bfloat16 logits are computed in float32; what differs is
the rounding of their gradient, by half a unit in the last place.
"""

import torch

# Sums in float64 against loops in float64, or in another order.
EXACT = dict(rtol=0, atol=1e-12)
# Figures in percent, from float64; from float32, as torchmetrics and recorded
# figures have them.
FIGURES, ROUNDED_FIGURES = 1e-9, 1e-4
# Recorded losses and gradients, which were computed in float32.
RECORDED = {torch.float64: 1e-7, torch.float32: 1e-5}

# Logged losses and figures of a float32 run, relative, against sums by hand.
LOGGED = 1e-5
# Gradients of such a run, against those of the losses added up by hand.
GRADIENTS = dict(rtol=1e-3, atol=1e-6)

EXCESS = {
    torch.float64: 1e-13,
    torch.float32: 1e-6,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8,
}


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
