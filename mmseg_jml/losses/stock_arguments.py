"""What a merged config leaves in a loss entry, made sense of."""

from __future__ import annotations

import logging
import pickle
from functools import cache

import mmengine
import numpy as np
import torch
from mmengine.logging import print_log
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


@cache
def note_once(owner: str, name: str) -> None:
    """Logs, once in a process, that an argument has no effect."""
    print_log(
        f'{owner} accepts {name} and does not use it: it has no meaning for '
        'an index over pixels.',
        logger='current',
        level=logging.WARNING,
    )


def load_class_weight(value: list[float] | str | None) -> Tensor | None:
    """Class weights from a list or a file, as float32.

    Args:
        value (list[float] | str, optional): One number >= 0 a class, or the
            path of a .npy, .json, .yaml or .pkl file with them.

    Returns:
        Tensor | None: (C,).

    Raises:
        ValueError: If the weights are no list of numbers, or one is
            negative.
    """
    if value is None:
        return None
    source = value
    if isinstance(value, str):
        if value.endswith('.npy'):
            value = np.load(value)
        elif value.endswith(('.pkl', '.pickle')):
            value = _load_plain_pickle(value)
        else:
            value = mmengine.load(value)
    try:
        weight = torch.as_tensor(np.asarray(value, dtype=np.float32))
    except (TypeError, ValueError):
        weight = torch.empty(0)
    if weight.ndim != 1 or not len(weight) or not bool((weight >= 0).all()):
        raise ValueError(
            'Expected class_weight to be a list of numbers >= 0 '
            f'or a file with one, but got {source!r}'
        )
    return weight


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists and numbers; refuses everything that could run code."""

    def find_class(self, module: str, name: str) -> type:
        raise ValueError(
            'Expected class_weight to be a pickled list of numbers, but the '
            f'file refers to {module}.{name}; save it as .npy or .json'
        )


def _load_plain_pickle(path: str) -> list[float]:
    with open(path, 'rb') as file:
        return _PlainUnpickler(file).load()
