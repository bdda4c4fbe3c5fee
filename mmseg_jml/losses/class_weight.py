"""Class weights from a config or a file."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

__all__ = ['load_class_weight']


def load_class_weight(value: list[float] | str | None) -> Tensor | None:
    """Load class weights from a list or a file, as float32.

    Args:
        value (list[float] | str, optional): One number >= 0 for each class,
            or the path of a .npy, .json or .yaml file with such a list.

    Returns:
        Tensor | None: (C,).

    Raises:
        ImportError: If the file is a .yaml file and PyYAML is not installed.
        ValueError: If the weights are no list of numbers, if one is negative,
            or if the file is of another kind.

    Examples:
        >>> load_class_weight([1, 0.5])
        tensor([1.0000, 0.5000])
    """
    if value is None:
        return None
    content = _read(value) if isinstance(value, str) else value
    try:
        weight = torch.as_tensor(content, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        weight = torch.empty(0)
    if weight.ndim != 1 or not len(weight) or not bool((weight >= 0).all()):
        raise ValueError(
            'Expected class_weight to be a list of numbers >= 0 '
            f'or a file with one, but got {value!r}'
        )
    return weight


def _read(path: str) -> object:
    suffix = Path(path).suffix
    if suffix == '.npy':
        import numpy as np

        return np.load(path)
    if suffix == '.json':
        return json.loads(Path(path).read_text())
    if suffix in ('.yaml', '.yml'):
        try:
            import yaml
        except ImportError as error:
            raise ImportError(
                f'Expected PyYAML to read class_weight={path!r}, but it is '
                'not installed: pip install pyyaml, or save the list as .json'
            ) from error
        return yaml.safe_load(Path(path).read_text())
    raise ValueError(
        'Expected class_weight to be a list or the path of a .npy, .json or '
        f'.yaml file, but got {path!r}; a pickled list is not read, because '
        'such a file can run code: save it with numpy.save or json.dump'
    )
