"""Every implementation of the region sums passes the same tests."""

import pytest
import torch

from mmseg_jml.kernels import IMPLEMENTATIONS

# Triton kernels need a GPU or the interpreter, and have tests of their own.
CPU_IMPLEMENTATIONS = sorted(set(IMPLEMENTATIONS) - {'auto', 'triton'})


@pytest.fixture(autouse=True)
def _device(device):
    """Each test on each device: see `tests.devices.on_device`."""


@pytest.fixture(params=CPU_IMPLEMENTATIONS)
def impl(request):
    return request.param


@pytest.fixture
def maps():
    """Maps of a student, with a gradient, and of its teacher."""
    student, teacher = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    return student.requires_grad_(), 3 * teacher
