"""A CPU and a CUDA device behind one interface.

A device has the clock, the memory and the kernel launches, so that benchmarks
have no branches for either kind.
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

CLOCKS = {'wall': time.perf_counter, 'processor': time.process_time}

# Names in a profile of the calls that launch a kernel.
LAUNCH = re.compile(r'cu(da)?Launch\w*Kernel')

# constants of malloc.h
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


class CPU:
    """A CPU.

    Args:
        clock (str): 'wall', or 'processor' for a shared machine. Defaults to
            'wall'.
        fresh (bool): Whether each timed call starts without freed memory to
            recycle. Defaults to True.
    """

    type = 'cpu'

    def __init__(self, clock: str = 'wall', fresh: bool = True) -> None:
        self._clock = CLOCKS[clock]
        self._fresh = fresh

    @property
    def name(self) -> str:
        """Name of the processor."""
        lines = Path('/proc/cpuinfo')
        if lines.exists():
            for line in lines.read_text().splitlines():
                if line.startswith('model name'):
                    return line.split(':')[1].strip()
        return platform.processor() or platform.machine()

    def prepare(self) -> None:
        """Return freed memory, so that no call profits from the last one."""
        if self._fresh and sys.platform == 'linux':
            ctypes.CDLL(None).malloc_trim(0)

    def mark(self) -> float:
        """Mark a point in the order of the work, for :meth:`seconds`."""
        return self._clock()

    def seconds(self, start: float, end: float) -> float:
        """Return the seconds of the work between two marks."""
        return end - start

    def now(self) -> float:
        """Wait for all issued work, and return the time in seconds."""
        return self._clock()

    def track(self) -> Tracked:
        """Measure ``peak`` and ``held``, the bytes that a block allocates."""
        return Tracked()

    def count_later(self, row: dict, call: Callable[[], object]) -> None:
        """Do nothing, since a CPU launches no kernels."""

    def count(self) -> None:
        """Do nothing."""


class CUDA:
    """The current CUDA device.

    Time is taken between events, in a stream that is kept busy until the host
    has issued all work. Gaps in which the device waits for the host are thus
    not in it; the time of the host is measured separately. Launches are
    counted after everything else, because a profiler that was used on CUDA
    once may slow the host down until the process ends.
    """

    type = 'cuda'
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
        """Name of the device, as its driver gives it."""
        return torch.cuda.get_device_name()

    def prepare(self) -> None:
        """Flush the L2, and keep the device busy for some milliseconds."""
        torch.cuda.synchronize()
        for _ in range(self._FLUSHES):
            self._flushed.zero_()

    def mark(self) -> torch.cuda.Event:
        """Mark a point in the order of the work, for :meth:`seconds`."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """Wait for the work between two marks; return its seconds."""
        end.synchronize()
        return start.elapsed_time(end) / 1000

    def now(self) -> float:
        """Wait for all issued work, and return the time in seconds."""
        torch.cuda.synchronize()
        return time.perf_counter()

    def track(self) -> TrackedOnCUDA:
        """Measure ``peak`` and ``held``, the bytes that a block allocates."""
        return TrackedOnCUDA()

    def count_later(self, row: dict, call: Callable[[], object]) -> None:
        """Note a call for :meth:`count`, which fills ``row['launches']``."""
        self._to_count.append((row, call))

    def count(self) -> None:
        """Count the kernels that each noted call launches, on any thread."""
        activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        for row, call in self._to_count:
            call()  # compiles again what was dropped since
            torch.cuda.synchronize()
            with profile(activities=activities) as record:
                call()
                torch.cuda.synchronize()
            names = [event.name for event in record.events()]
            row['launches'] = len([x for x in names if LAUNCH.match(x)])
        self._to_count.clear()


class TrackedOnCUDA:
    """Read the counters of torch's allocator.

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


def recycle_memory() -> None:
    """Let the C library keep freed memory.

    By default, glibc returns blocks above 32 MB to the system at once, and the
    next use pays for fresh pages, unless smaller blocks have left a hole that
    is large enough.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
