"""Loads that the kernels of both resolutions share, as float32.

``classes`` are indices of any shape. Those outside [0, CLASSES) are padding
or stand for no class at all; their value is 0.
"""

# mypy: ignore-errors
# Triton compiles these functions: its types are no annotations.
import triton
import triton.language as tl


# fmt: off
@triton.jit
def target(label, weight, at, inside, ignore_index, CLASSES: tl.constexpr):
    """Load class and weight of pixels: -1 and 0 where they do not count."""
    index = tl.load(label + at, mask=inside, other=0).to(tl.int64)
    counted = inside & (index >= 0) & (index < CLASSES)
    if ignore_index is not None:
        counted &= index != ignore_index
    w = counted.to(tl.float32)
    if weight is not None:
        w = tl.load(weight + at, mask=counted, other=0).to(tl.float32)
    return tl.where(counted, index, -1).to(tl.int32), w


@triton.jit
def class_weight(weight, classes, CLASSES: tl.constexpr):
    """Load class weights; 1 if there are none."""
    real = (classes >= 0) & (classes < CLASSES)
    value = real.to(tl.float32)
    if weight is not None:
        value = tl.load(weight + classes, mask=real, other=0)
    return value.to(tl.float32)


@triton.jit
def slope(slopes, row: tl.constexpr, classes, ASKED: tl.constexpr,
          CLASSES: tl.constexpr):
    """Load the slopes by P (row 0), log-likelihood (1), T (2), product (3)."""
    value = tl.zeros(classes.shape, tl.float32)
    if ASKED:
        real = (classes >= 0) & (classes < CLASSES)
        at = slopes + row * CLASSES + classes
        value = tl.load(at, mask=real, other=0).to(tl.float32)
    return value
