"""How long a step takes, and how much memory."""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

__all__ = [
    'CLOCKS',
    'Memory',
    'Step',
    'Tracked',
    'interleaved',
    'median_ratio',
    'memory_of',
    'recycle_memory',
    'size_of',
]

# of malloc.h
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4

CLOCKS = {'wall': time.perf_counter, 'processor': time.process_time}


class Memory(NamedTuple):
    """Bytes besides those that existed before a step.

    Attributes:
        peak (int): Most at a time, from the loss to its gradient.
        held (int): From the loss to the start of its backward pass.
    """

    peak: int
    held: int


class Step(NamedTuple):
    """Seconds of a forward pass, and of that and the backward pass."""

    forward: float
    total: float


def recycle_memory() -> None:
    """Makes the C library keep what is freed, and never ask for more pages.

    Without this, glibc gives blocks above 32 MB back at once, and their next
    use pays for fresh pages; or not, where smaller blocks left a hole.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def _release_memory() -> None:
    """Gives holes back, so that no loss profits from the one before."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).malloc_trim(0)


class Tracked:
    """Counts what torch allocates on the CPU, without noise.

    Attributes:
        peak (int): Most bytes that existed at a time inside the block.
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
        memory = sorted(
            (event.start_ns(), event.nbytes())
            for event in events
            if event.name() == '[memory]'
        )
        self.held = self.peak = 0
        for _, size in memory:
            self.held += size
            self.peak = max(self.peak, self.held)


def size_of(tensor: Tensor) -> int:
    """Bytes of a tensor's numbers."""
    return tensor.numel() * tensor.element_size()


def memory_of(loss: Callable[[], Tensor], leaf: Tensor) -> Memory:
    """Memory of ``loss()`` and its backward pass.

    Args:
        loss (Callable): Returns a scalar.
        leaf (Tensor): What it is differentiated by; its gradient counts.
    """
    if leaf.is_cuda:
        return _memory_on_cuda(loss, leaf)
    leaf.grad = None
    with Tracked() as whole:
        loss().backward()
    leaf.grad = None
    with Tracked() as forward:
        value = loss()
    del value
    return Memory(whole.peak, forward.held)


def _memory_on_cuda(loss: Callable[[], Tensor], leaf: Tensor) -> Memory:
    leaf.grad = None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    value = loss()
    held = torch.cuda.memory_allocated() - before
    value.backward()
    return Memory(torch.cuda.max_memory_allocated() - before, held)


def interleaved(
    losses: dict[str, Callable[[], Tensor]],
    leaf: Tensor,
    rounds: int,
    clock: str = 'wall',
    fresh: bool = True,
) -> dict[str, dict[int, Step]]:
    """Seconds of each loss in each round, after one to warm up.

    A round runs the losses one after another, so that what disturbs it
    disturbs all of them, and ratios within a round can be compared. What is
    five times as slow as the first one runs in every third round only.

    Args:
        losses (dict[str, Callable]): Each returns a scalar.
        leaf (Tensor): What they are differentiated by.
        rounds (int): How many.
        clock (str): 'wall', or 'processor' for a machine that is shared. On
            CUDA the device's own clock is read. Defaults to 'wall'.
        fresh (bool): Whether each step starts without memory to recycle.
            Defaults to True.

    Returns:
        dict[str, dict[int, Step]]: By name and round.
    """
    steps = {name: {} for name in losses}
    run = _step_on_cuda if leaf.is_cuda else _step_on_cpu
    slow = set()
    for number in range(rounds + 1):
        for name, loss in losses.items():
            if name not in slow or number % 3 == 1:
                leaf.grad = None
                if fresh:
                    _release_memory()
                steps[name][number] = run(loss, CLOCKS[clock])
        if number == 0:
            first = {name: of.pop(0).total for name, of in steps.items()}
            limit = 5 * next(iter(first.values()))
            slow = {name for name in first if first[name] > limit}
    return steps


def _step_on_cpu(
    loss: Callable[[], Tensor], clock: Callable[[], float]
) -> Step:
    start = clock()
    value = loss()
    middle = clock()
    value.backward()
    return Step(middle - start, clock() - start)


def _step_on_cuda(
    loss: Callable[[], Tensor], clock: Callable[[], float]
) -> Step:
    events = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
    torch.cuda.synchronize()
    events[0].record()
    value = loss()
    events[1].record()
    value.backward()
    events[2].record()
    torch.cuda.synchronize()
    return Step(
        events[0].elapsed_time(events[1]) / 1000,
        events[0].elapsed_time(events[2]) / 1000,
    )


def median_ratio(
    steps: dict[int, Step], base: dict[int, Step], part: str = 'total'
) -> float:
    """Median over rounds of a time over the baseline's total time."""
    return statistics.median(
        getattr(step, part) / base[number].total
        for number, step in steps.items()
    )
