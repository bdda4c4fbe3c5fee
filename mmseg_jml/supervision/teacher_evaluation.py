"""Validation and test of a second model beside that of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import nn

__all__ = ['evaluate_beside']

# The attributes of mmengine's and mmseg's metrics with a place to write to.
_PLACES = 'output_dir', 'out_file_path'


@torch.no_grad()
def evaluate_beside(
    runner: Runner,
    model: nn.Module,
    split: str,
    name: str,
    look: Callable[[Sequence], object] | None = None,
) -> dict[str, float]:
    """Evaluate a model as a loop evaluates that of the run, without hooks.

    Args:
        runner (Runner): The runner.
        model (nn.Module): The other model, in evaluation mode.
        split (str): 'val' or 'test'.
        name (str): Prefix of its metrics, such as ``teacher/mIoU``, and part
            of the paths of what they write.
        look (Callable, optional): Function of the data samples of each batch,
            predictions included. Defaults to None.
    """
    loop = getattr(runner, f'{split}_loop')
    device = next(model.parameters()).device.type
    autocast = torch.autocast(device, enabled=getattr(loop, 'fp16', False))
    with _named(name, loop.evaluator), autocast:
        for batch in loop.dataloader:
            samples = model.test_step(batch)
            if look is not None:
                look(samples)
            loop.evaluator.process(data_samples=samples, data_batch=batch)
        found = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    for key, value in found.items():
        runner.message_hub.update_scalar(f'{split}/{key}', value)
    return found


@contextmanager
def _named(name: str, evaluator: Evaluator) -> Iterator[None]:
    """Give metrics a prefix, and places of their own to write to."""
    kept = []
    for metric in evaluator.metrics:
        moved = dict(prefix='/'.join(filter(None, (name, metric.prefix))))
        for key in _PLACES:
            if getattr(metric, key, None) is not None:
                moved[key] = _beside(Path(getattr(metric, key)), key, name)
        kept += ((metric, key, getattr(metric, key)) for key in moved)
        for key, value in moved.items():
            setattr(metric, key, value)
    try:
        yield
    finally:
        for metric, key, value in kept:
            setattr(metric, key, value)


def _beside(place: Path, key: str, name: str) -> str:
    """Return the folder of this name in a place, or a file's path in it."""
    is_file = key == 'out_file_path'
    folder = (place.parent if is_file else place) / name
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / place.name if is_file else folder)
