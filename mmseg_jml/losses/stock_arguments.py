"""Arguments of a stock loss that a merged config leaves in a loss entry."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

__all__ = ['note_once', 'take_stock_arguments']

# Values that ask for what these losses do anyway.
_NATURAL = {'reduction': 'mean', 'use_mask': False}
_USED = ('avg_non_ignore', 'ignore_label')
_WITHOUT_MEANING = ('thres', 'thresh', 'min_kept')


def take_stock_arguments(
    owner: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Take the arguments of stock losses out of those of an entry.

    Args:
        owner (str): Class name, for messages.
        arguments (dict): Arguments that the constructor does not name; those
            of stock losses are removed.

    Returns:
        dict: The removed ones that have a meaning here: ``avg_non_ignore``
        and ``ignore_label``.

    Raises:
        ValueError: If ``reduction`` or ``use_mask`` asks for something else
            than what the loss does.

    Examples:
        >>> arguments = dict(reduction='mean', ignore_label=0, alhpa=1)
        >>> take_stock_arguments('JaccardMetricLoss', arguments)
        {'ignore_label': 0}
        >>> arguments
        {'alhpa': 1}
    """
    for name, natural in _NATURAL.items():
        value = arguments.pop(name, natural)
        if value != natural:
            raise ValueError(
                f'Expected {name}={natural!r} for {owner}, but got '
                f'{value!r}: an index over pixels is one number for all of '
                'them, of exclusive classes or with use_sigmoid=True'
            )
    for name in _WITHOUT_MEANING:
        if name in arguments:
            del arguments[name]
            note_once(owner, name)
    return {name: arguments.pop(name) for name in _USED if name in arguments}


@lru_cache(maxsize=None)
def note_once(owner: str, name: str) -> None:
    """Log, once in a process, that an argument has no effect."""
    logging.getLogger('mmseg_jml').warning(
        '%s accepts %s and does not use it: it has no meaning for an index '
        'over pixels.',
        owner,
        name,
    )
