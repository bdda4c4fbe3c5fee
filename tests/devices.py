"""Where a test computes: on the CPU, unless it asks for the `device` fixture.

mmengine's ``get_device()`` tells a Runner where to put its model, and tests
where to put what they compare it with.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import wraps

import torch
from mmengine.device import get_device
from torch import Tensor, nn

NAMES = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']


def move(value, device):
    """Returns a nest of containers with its tensors on a device."""
    if isinstance(value, (Tensor, nn.Module)):
        return value.to(device)
    if isinstance(value, dict):
        return {key: move(part, device) for key, part in value.items()}
    if is_dataclass(value):
        parts = {x.name: getattr(value, x.name) for x in fields(value)}
        return replace(value, **move(parts, device))
    if isinstance(value, (list, tuple)):
        parts = [move(part, device) for part in value]
        named = hasattr(value, '_fields')
        return type(value)(*parts) if named else type(value)(parts)
    return value


class AsOnGPU(Tensor):
    """Lets a tensor go the way that the code has for a GPU."""

    is_cuda = True


def on_device(function: Callable) -> Callable:
    """Lets a function of CPU tensors compute on the device of the test.

    Arguments are moved there and results back, with their gradients.
    """

    @wraps(function)
    def moved(*args, **kwargs):
        args, kwargs = move((args, kwargs), get_device())
        return move(function(*args, **kwargs), 'cpu')

    return moved


def be_deterministic(on: bool = True) -> None:
    """Lets the same steps give the same bits on a GPU, as on a CPU.

    What has no such kernel warns, and the tests show whether it matters.
    """
    torch.backends.cudnn.deterministic = on
    torch.use_deterministic_algorithms(on, warn_only=True)
