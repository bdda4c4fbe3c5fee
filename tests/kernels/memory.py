"""Bytes that torch allocates, counted one by one, so without noise."""

import torch
from torch.profiler import ProfilerActivity, profile


class Tracked:
    """Counts what is allocated inside the block.

    Attributes:
        peak (int): Most bytes that existed at a time, besides those before.
        held (int): Bytes that are left at the end of the block.
    """

    def __enter__(self):
        self._profile = profile(
            activities=[ProfilerActivity.CPU], profile_memory=True
        )
        self._profile.__enter__()
        return self

    def __exit__(self, *error):
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


def size_of(tensor):
    """Bytes of a tensor's numbers."""
    return tensor.numel() * tensor.element_size()


def test_tracked_counts_bytes():
    with Tracked() as memory:
        kept = torch.zeros(1000)
        gone = torch.zeros(500, dtype=torch.float64)
        del gone
        torch.zeros(10)
    assert memory.held == size_of(kept) == 4000
    assert memory.peak == 8000
