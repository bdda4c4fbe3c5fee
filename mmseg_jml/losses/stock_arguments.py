"""What a merged config leaves in a loss entry, made sense of."""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

__all__ = [
    'load_class_weight',
    'note_once',
    'take_stock_arguments',
]

# Values that mean what these losses do anyway.
_NATURAL = {'reduction': 'mean', 'use_mask': False}
_USED = ('avg_non_ignore', 'ignore_label')
_WITHOUT_MEANING = ('thres', 'thresh', 'min_kept')


def take_stock_arguments(owner: str, arguments: dict) -> dict:
    """Sorts the arguments that stock losses have and ours have not.

    Args:
        owner (str): Class name, for messages.
        arguments (dict): What the constructor did not name.

    Returns:
        dict: Those that have a meaning: ``avg_non_ignore``,
        ``ignore_label``.

    Raises:
        TypeError: If an argument belongs to no stock pixel cross-entropy.
        ValueError: If a value contradicts what the loss is.
    """
    known = (*_NATURAL, *_USED, *_WITHOUT_MEANING)
    for name, value in arguments.items():
        if name not in known:
            raise TypeError(
                f'Expected {owner} to get its own arguments or those of a '
                f'stock cross-entropy {known}, but got {name}={value!r}; a '
                'key that a merged config leaves behind goes with '
                '_delete_=True'
            )
        if name in _NATURAL and value != _NATURAL[name]:
            raise ValueError(
                f'Expected {name}={_NATURAL[name]!r} for {owner}, but got '
                f'{value!r}: an index over pixels is one number for all of '
                'them, of exclusive classes or with use_sigmoid=True'
            )
        if name in _WITHOUT_MEANING:
            note_once(owner, name)
    return {name: arguments[name] for name in _USED if name in arguments}


@lru_cache(maxsize=None)
def note_once(owner: str, name: str) -> None:
    """Logs, once in a process, that an argument has no effect."""
    logging.getLogger('mmseg_jml').warning(
        '%s accepts %s and does not use it: it has no meaning for an index '
        'over pixels.',
        owner,
        name,
    )


def load_class_weight(value: list[float] | str | None) -> Tensor | None:
    """Class weights from a list or a file, as float32.

    Args:
        value (list[float] | str, optional): One number >= 0 a class, or the
            path of a .npy, .json or .yaml file with them.

    Returns:
        Tensor | None: (C,).

    Raises:
        ImportError: If the file is a .yaml file and PyYAML is not installed.
        ValueError: If the weights are no list of numbers, one is negative,
            or the file is of another kind.

    Examples:
        >>> load_class_weight([1, 0.5])
        tensor([1.0000, 0.5000])
    """
    if value is None:
        return None
    content = _read_weights(value) if isinstance(value, str) else value
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


def _read_weights(path: str) -> object:
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
