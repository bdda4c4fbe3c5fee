"""A warning where label smoothing gives a class more label than it has.

The modes 'uniform' and 'boundary' give a bit of every class to each smoothed
pixel, however far away the class is. A class that is rare may so get more
label from the pixels of other classes than from its own, above all where most
of an image is boundary. The loss of the class is then lowest for a haze: a
small probability everywhere.
"""

from __future__ import annotations

import functools
import logging

import torch
from torch import Tensor

from mmseg_jml.kernels import HardLabel, Request, is_compiling

from .checks import Arrival

__all__ = ['label_mass', 'swamped_classes', 'warn_of_swamped_classes']

# The number of batches that are counted, and in how many of them a class has
# to be: its share in two images says little about a data set.
_BATCHES, _AT_LEAST = 50, 5
_NAMED = 5  # classes at most in a message


@torch.no_grad()
def label_mass(target: HardLabel, num_classes: int) -> Tensor:
    """Sum the label of each class, over its own pixels and over others.

    With n_c pixels of class c, b_c of which are smoothed, the two sums are
    ``n_c - (1 - on) b_c`` and ``off`` times the sum of all other b.

    Args:
        target (HardLabel): Smoothed by ``on`` and ``off``.
        num_classes (int): C.

    Returns:
        Tensor: (2, C) float64, in pixels.

    Examples:
        >>> label = torch.tensor([[0, 0, 0, 1]])
        >>> label_mass(HardLabel(label, on=0.75, off=0.25), 2)
        tensor([[2.2500, 0.7500],
                [0.2500, 0.7500]], dtype=torch.float64)
    """
    label = target.label
    index = torch.where(target.counted(num_classes), label, num_classes)
    if target.smoothed is None:
        index += num_classes + 1
    else:
        index.add_(target.smoothed, alpha=num_classes + 1)
    index = index.flatten()
    # torch.bincount would wait for a GPU
    counts = index.new_zeros(2 * num_classes + 2)
    counts.scatter_add_(0, index, index.new_ones(()).expand_as(index))
    plain, soft = counts.view(2, -1)[:, :-1].double()
    own = plain + target.on * soft
    return torch.stack([own, target.off * (soft.sum() - soft)])


def swamped_classes(own: list[float], foreign: list[float]) -> str | None:
    """Name the classes that get more label than they have of their own.

    Args:
        own (list[float]): C sums of label over a class's own pixels, see
            :func:`label_mass`; a class with 0 is not judged.
        foreign (list[float]): C sums over the pixels of other classes.

    Returns:
        str | None: A message about the worst classes; None where no class is
        swamped.

    Examples:
        >>> swamped_classes([90.0, 1.0], [0.5, 8.5])[101:141]
        'class 1 (8.5 % against 1 %) of all label'
    """
    total = (sum(own) + sum(foreign)) / 100
    swamped = [
        (other / mine, index, other / total, mine / total)
        for index, (mine, other) in enumerate(zip(own, foreign))
        if 0 < mine < other
    ]
    if not swamped:
        return None
    swamped.sort(reverse=True)
    named = [
        f'class {index} ({other:.2g} % against {mine:.2g} %)'
        for _, index, other, mine in swamped[:_NAMED]
    ]
    if len(swamped) > _NAMED:
        named.append(f'{len(swamped) - _NAMED} more')
    return (
        'Label smoothing gives classes more label from pixels of other '
        f'classes than they have from their own: {", ".join(named)} of all '
        'label. Such a class is learned as a haze, and its IoU may fall to '
        "0. Take label_smoothing=dict(mode='neighbours'), which gives label "
        'only to classes that are near, or a smaller epsilon.'
    )


class _Watch:
    """Count the label of the first batches, and then warn once."""

    def __init__(self) -> None:
        self._batches = 0
        self._sums: Tensor | None = None
        self._arrival: Arrival | None = None

    def look(self, target: HardLabel, num_classes: int) -> None:
        """Count a batch, or read what was counted."""
        if self._batches < _BATCHES:
            mass = label_mass(target, num_classes)
            rows = torch.cat([mass, (mass[:1] > 0).to(mass)])
            self._sums = rows if self._sums is None else self._sums + rows
            self._batches += 1
            if self._batches == _BATCHES:
                self._arrival, self._sums = Arrival(self._sums), None
        if self._arrival is not None and self._arrival.is_there():
            own, foreign, batches = self._arrival.tolist()
            self._arrival = None
            own = [
                mine if seen >= _AT_LEAST else 0.0
                for mine, seen in zip(own, batches)
            ]
            if message := swamped_classes(own, foreign):
                logging.getLogger('mmseg_jml').warning('%s', message)


@functools.lru_cache(maxsize=64)
def _watch(
    num_classes: int, on: float, off: float, device: torch.device
) -> _Watch:
    """Return one watch for all losses that smooth alike: labels are alike."""
    return _Watch()


def warn_of_swamped_classes(request: Request) -> None:
    """Warn, once in a process, where smoothing swamps a class.

    The labels of the first 50 batches are counted, without waiting for a GPU.
    A class that is in fewer than 5 of them is not judged. Heads with one
    channel are left out, since their targets are probabilities already.

    Args:
        request (Request): Any request; only smoothed labels are counted.
    """
    target = request.target
    if not isinstance(target, HardLabel) or target.off == 0:
        return
    label, classes = target.label, request.logits.shape[1]
    # nothing is counted while a compiler or a CUDA graph records this call
    if is_compiling():
        return
    if label.is_cuda and torch.cuda.is_current_stream_capturing():
        return
    watch = _watch(classes, target.on, target.off, label.device)
    watch.look(target, classes)
