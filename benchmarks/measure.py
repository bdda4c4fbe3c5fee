"""Measure time and memory of calls, on any device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor
from torch.profiler import ProfilerActivity, profile

if TYPE_CHECKING:
    from .devices import CPU, CUDA


class Step(NamedTuple):
    """Times of one call.

    Attributes:
        total (float): Seconds of the whole call.
        forward (float): Seconds of the forward pass alone. Defaults to 0.0.
        host (float): Seconds until the host had issued all work to a GPU.
            Defaults to 0.0.
    """

    total: float
    forward: float = 0.0
    host: float = 0.0


class Tracked:
    """Count the bytes that torch allocates on the CPU, by allocation.

    Attributes:
        peak (int): Most bytes that existed at a time inside the block,
            besides those that existed before.
        held (int): Bytes that are left at its end.
    """

    def __enter__(self) -> Tracked:
        self._profile = profile(
            activities=[ProfilerActivity.CPU], profile_memory=True
        )
        self._profile.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._profile.__exit__(*error)
        events = self._profile.profiler.kineto_results.events()
        events = [event for event in events if event.name() == '[memory]']
        unit = 'ns' if hasattr(events[0], 'start_ns') else 'us'  # old torch
        start = attrgetter(f'start_{unit}')
        memory = sorted((start(event)(), event.nbytes()) for event in events)
        self.held = self.peak = 0
        for _, size in memory:
            self.held += size
            self.peak = max(self.peak, self.held)


def size_of(tensor: Tensor) -> int:
    """Return the bytes of a tensor's elements."""
    return tensor.numel() * tensor.element_size()


def compare(
    losses: dict[str, Callable[[], Tensor]],
    leaf: Tensor,
    unit: int,
    device: CPU | CUDA,
    rounds: int,
    **common: str,
) -> Iterator[dict]:
    """Measure losses with their backward passes; the first is the baseline.

    Losses are scalars, differentiated by ``leaf``. A row has the columns of
    ``common``; then ``loss``, ``ms``, ``time`` and ``forward`` over the
    baseline's total time, ``host_ms``, ``peak`` and ``held`` in units of so
    many bytes, and ``launches``. On a CPU, ``host_ms`` and ``launches`` are
    empty; on CUDA, ``device.count()`` fills the latter.
    """
    steps = interleaved(losses, partial(_timed, leaf, device), rounds)
    base = next(iter(steps.values()))
    for name, loss in losses.items():
        of = steps[name]
        backward = partial(_backward, leaf, loss)
        leaf.grad = None
        with device.track() as whole:
            backward()
        leaf.grad = None
        with device.track() as forward:
            value = loss()
        del value
        row = common | {
            'loss': name,
            'ms': median_ms(of),
            'time': median_ratio(of, base),
            'forward': median_ratio(of, base, 'forward'),
            'host_ms': median_ms(of, 'host') if leaf.is_cuda else '',
            'peak': whole.peak / unit,
            'held': forward.held / unit,
            'launches': '',
        }
        device.count_later(row, backward)
        yield row


def _backward(leaf: Tensor, loss: Callable[[], Tensor]) -> None:
    """Compute a new gradient, not added to the one before."""
    leaf.grad = None
    loss().backward()


def _timed(
    leaf: Tensor, device: CPU | CUDA, loss: Callable[[], Tensor]
) -> Step:
    """Time a forward and a backward pass."""
    leaf.grad = None
    device.prepare()
    asked, start = time.perf_counter(), device.mark()
    value = loss()
    middle = device.mark()
    value.backward()
    end, asked = device.mark(), time.perf_counter() - asked
    total = device.seconds(start, end)
    return Step(total, device.seconds(start, middle), asked)


def call_once(call: Callable[[], object], device: CPU | CUDA) -> Step:
    """Time one call, until the device is done."""
    start = device.now()
    call()
    return Step(device.now() - start)


def interleaved(
    calls: dict[str, Callable],
    timed: Callable[[Callable], Step],
    rounds: int,
) -> dict[str, dict[int, Step]]:
    """Time each call in each round, after two rounds to warm up.

    A round runs the calls one after another. A disturbance therefore slows all
    of them down, and ratios within a round can be compared. The first round
    includes compilation. A call that takes more than five times as long as the
    baseline, which is the first, in the second round is run only in every
    third of the others. The result has the times by name and round.
    """
    for call in calls.values():
        timed(call)
    warm = {name: timed(call).total for name, call in calls.items()}
    limit = 5 * next(iter(warm.values()))
    steps = {name: {} for name in calls}
    for number in range(rounds):
        for name, call in calls.items():
            if warm[name] <= limit or number % 3 == 0:
                steps[name][number] = timed(call)
    return steps


def median_ms(steps: dict[int, Step], part: str = 'total') -> float:
    """Return the median over rounds of a time, in milliseconds."""
    return 1000 * statistics.median(
        getattr(step, part) for step in steps.values()
    )


def median_ratio(
    steps: dict[int, Step], base: dict[int, Step], part: str = 'total'
) -> float:
    """Return the median over rounds of a time over the baseline's total."""
    return statistics.median(
        getattr(step, part) / base[number].total
        for number, step in steps.items()
    )
