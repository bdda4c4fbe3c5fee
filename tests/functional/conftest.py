"""Every implementation of the region sums passes the same tests."""

import pytest

from mmseg_jml.kernels import IMPLEMENTATIONS

# Triton kernels need a GPU or the interpreter, and have tests of their own.
CPU_IMPLEMENTATIONS = sorted(set(IMPLEMENTATIONS) - {'auto', 'triton'})


@pytest.fixture(autouse=True)
def _device(device):
    """Each test on each device: see `tests.devices.on_device`."""


@pytest.fixture(params=CPU_IMPLEMENTATIONS)
def impl(request):
    return request.param
