"""A CPU and a CUDA device behind one interface.

What is measured asks a device for its clock, its memory and its launches, so
that the benchmarks themselves have no branch for either.
"""

from __future__ import annotations

import ctypes
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from .measure import Tracked

__all__ = ['CLOCKS', 'CPU', 'CUDA', 'find_device', 'recycle_memory']

CLOCKS = {'wall': time.perf_counter, 'processor': time.process_time}

# Calls of the runtime and the driver that start a kernel, in a profile.
LAUNCH = re.compile(r'cu(da)?Launch\w*Kernel')

# of malloc.h
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


class CPU:
    """A CPU.

    Args:
        clock (str): 'wall', or 'processor' for a machine that is shared.
            Defaults to 'wall'.
        fresh (bool): Whether each timed call starts without memory to
            recycle. Defaults to True.
    """

    def __init__(self, clock: str = 'wall', fresh: bool = True) -> None:
        self._clock = CLOCKS[clock]
        self._fresh = fresh

    @property
    def name(self) -> str:
        """The processor, in words."""
        lines = Path('/proc/cpuinfo')
        if lines.exists():
            for line in lines.read_text().splitlines():
                if line.startswith('model name'):
                    return line.split(':')[1].strip()
        return platform.processor() or platform.machine()

    def prepare(self) -> None:
        """Gives holes back, so that no call profits from the one before."""
        if self._fresh and sys.platform == 'linux':
            ctypes.CDLL(None).malloc_trim(0)

    def mark(self) -> float:
        """A point in the order of the work, for :meth:`seconds`."""
        return self._clock()

    def seconds(self, start: float, end: float) -> float:
        """Seconds of the work between two marks."""
        return end - start

    def now(self) -> float:
        """Seconds of the clock, when all that was asked for is done."""
        return self._clock()

    def track(self) -> Tracked:
        """A block with ``peak`` and ``held``, the bytes that it allocates."""
        return Tracked()

    def count_later(self, row: dict, call: Callable[[], object]) -> None:
        """Does nothing: a CPU has no kernels to launch."""

    def count(self) -> None:
        """Does nothing."""


class CUDA:
    """The current CUDA device.

    Its time is that between events, in a stream that was kept busy until the
    host had asked for everything: gaps in which the device waits for the host
    are not in it, and the host's own time is measured beside it. Launches are
    counted when all else is measured, because a profiler that has looked at
    CUDA once may slow the host down until the process ends.
    """

    # More than the L2 of any device; zeroed often enough to take about 10 ms.
    _FLUSHED_BYTES = 2**29
    _FLUSHES = 64

    def __init__(self) -> None:
        self._flushed = torch.empty(
            self._FLUSHED_BYTES, dtype=torch.uint8, device='cuda'
        )
        self._to_count = []

    @property
    def name(self) -> str:
        """The device, as its driver calls it."""
        return torch.cuda.get_device_name()

    def prepare(self) -> None:
        """Flushes the L2, and keeps the device busy for some milliseconds."""
        torch.cuda.synchronize()
        for _ in range(self._FLUSHES):
            self._flushed.zero_()

    def mark(self) -> torch.cuda.Event:
        """A point in the order of the work, for :meth:`seconds`."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """Seconds of the work between two marks; waits for it."""
        end.synchronize()
        return start.elapsed_time(end) / 1000

    def now(self) -> float:
        """Seconds of the clock, when all that was asked for is done."""
        torch.cuda.synchronize()
        return time.perf_counter()

    def track(self) -> TrackedOnCUDA:
        """A block with ``peak`` and ``held``, the bytes that it allocates."""
        return TrackedOnCUDA()

    def count_later(self, row: dict, call: Callable[[], object]) -> None:
        """Leaves a call for :meth:`count`, which fills ``row['launches']``."""
        self._to_count.append((row, call))

    def count(self) -> None:
        """Counts the kernels that each call launches, on any thread."""
        activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        for row, call in self._to_count:
            call()  # compiles again what was forgotten since
            torch.cuda.synchronize()
            with profile(activities=activities) as record:
                call()
                torch.cuda.synchronize()
            names = [event.name for event in record.events()]
            row['launches'] = len([x for x in names if LAUNCH.match(x)])
        self._to_count.clear()


class TrackedOnCUDA:
    """Reads what torch's allocator counts.

    Attributes:
        peak (int): Most bytes that existed at a time inside the block,
            besides those that existed before.
        held (int): Bytes that are left at its end.
    """

    def __enter__(self) -> TrackedOnCUDA:
        torch.cuda.synchronize()
        self._before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(self, *error: object) -> None:
        torch.cuda.synchronize()
        self.peak = torch.cuda.max_memory_allocated() - self._before
        self.held = torch.cuda.memory_allocated() - self._before


def find_device(
    kind: str, clock: str = 'wall', fresh: bool = True
) -> CPU | CUDA:
    """The device of a command line.

    Args:
        kind (str): 'cpu' or 'cuda'.
        clock (str): For the CPU, see there. Defaults to 'wall'.
        fresh (bool): For the CPU, see there. Defaults to True.
    """
    return CPU(clock, fresh) if kind == 'cpu' else CUDA()


def recycle_memory() -> None:
    """Makes the C library keep what is freed, and never ask for more pages.

    Without this, glibc gives blocks above 32 MB back at once, and their next
    use pays for fresh pages; or not, where smaller blocks left a hole.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
