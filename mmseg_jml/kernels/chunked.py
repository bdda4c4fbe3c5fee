"""Region sums in plain PyTorch on any device, in bounded memory.

Nothing is kept for the backward pass but the inputs: it computes the
probabilities of each piece again, and then the piece's gradient. So the only
tensor of the logits' size besides the logits is their gradient.

Let p be the probability, y the label, w the pixel weight and k the class
weight. Let A, B and Q be the derivatives of a loss L by the sums P, T and that
of w p y, and e the derivative by the log-likelihood, times k. With a softmax
the gradient by the logits z is::

    u_c = w p_c (A_c n p_c^(n-1) + B_c t_c + Q_c y_c) + w e_c y_c
    dL/dz_c = u_c - p_c sum_d u_d

where t is the derivative of (p^n + y^n - |p - y|^n) / 2 by p; for n = 1 that
is 1, 1/2 or 0 where p is below, at or above y. If the label is one class of
probability 1, then t = y for n = 1, and no dense label is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .cut import cut, gradient_by_pieces
from .dense_labels import dense_gradient, dense_sums, piece_entropy
from .hard_labels import HardPixels, gradient_of, hard_gradient, hard_sums
from .pieces import Scratch
from .request import Request
from .results import RegionSums

__all__ = ['gradient', 'label_entropy', 'sums']

# Logits of a piece. On a CPU a piece and two buffers of its size fit into the
# cache, and a piece is large enough to hide the cost of a call. On a GPU a
# launch costs more than memory, so a piece is a share of all logits.
_PIECE_ON_CPU = 2**19
_LEAST_PIECE_ON_GPU = 2**22


def sums(request: Request) -> RegionSums:
    """Return the region sums of a request."""
    scratch, elements = Scratch(request), _elements(request)
    pieces = cut(request, elements, scratch)
    is_sparse, logits = _is_sparse(request), request.logits
    is_whole = 0 < logits.numel() <= elements and not request.is_upsampled
    if is_sparse and is_whole and not logits.is_cuda:
        # small enough to keep what the gradient would compute again
        (index,) = pieces
        return hard_sums(pieces.read(index), None)
    total = RegionSums.zeros(request)
    for index in pieces:
        piece = pieces.read(index)
        if is_sparse:
            part = hard_sums(piece, scratch('prob', piece.logits.shape))
        else:
            part = dense_sums(piece, scratch)
        total.add_(part, index.images)
    return total


def gradient(request: Request, slopes: Tensor, kept: object = None) -> Tensor:
    """Return the gradient of the logits.

    The arguments are those of
    :meth:`mmseg_jml.kernels.autograd.Engine.gradient`.
    """
    slopes = slopes.to(request.dtype)
    if isinstance(kept, HardPixels):
        value = gradient_of(kept, slopes, None)
        return value.view(request.logits.shape).to(request.logits.dtype)
    write = hard_gradient if _is_sparse(request) else dense_gradient
    return gradient_by_pieces(request, slopes, _elements(request), write)


@torch.no_grad()
def label_entropy(request: Request) -> Tensor:
    """Return the entropy of a label, summed over pixels: a float64 scalar.

    It is the sum of w sum_c (-y_c log y_c). With sigmoid each class adds
    -(1 - y_c) log(1 - y_c) too.

    Examples:
        >>> from mmseg_jml.kernels import Probabilities
        >>> label = Probabilities(torch.tensor([[[0.5], [0.5]]]))
        >>> label_entropy(Request(torch.zeros(1, 2, 1), label))
        tensor(0.6931, dtype=torch.float64)
    """
    scratch = Scratch(request)
    pieces = cut(request, _elements(request), scratch)
    total = request.logits.new_zeros((), dtype=torch.float64)
    for index in pieces:
        total += piece_entropy(pieces.read(index), scratch)
    return total


def _elements(request: Request) -> int:
    logits = request.logits
    if logits.device.type == 'cpu':
        # upsampling needs buffers of its own
        return _PIECE_ON_CPU // (2 if request.is_upsampled else 1)
    # three buffers in float32 take half the memory of the logits
    share = logits.numel() * logits.element_size() // 24
    return max(_LEAST_PIECE_ON_GPU, share)


def _is_sparse(request: Request) -> bool:
    """Tell whether labels may stay class indices."""
    softmax = request.norm == 1 and not request.use_sigmoid
    return softmax and request.is_hard and request.largest_of is None
