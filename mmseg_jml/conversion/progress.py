"""Convert many images: resume, show progress, list names in messages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from .files import CorruptFileError

__all__ = ['convert_all', 'shorten', 'show_progress']


def show_progress(items: Iterable, total: int, action: str) -> Iterator:
    """Yield the items and show a progress bar."""
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total, description=action)


def convert_all(
    outputs: Mapping[str, Path],
    convert: Callable[[str, Path], None],
    skip_corrupt: bool,
) -> list[str]:
    """Convert the images that were not converted before.

    Args:
        outputs (Mapping[str, Path]): For the name of each image the file
            whose existence shows that it is done.
        convert (Callable): Converts the image of a name. It writes the output
            last, by :func:`whole_file`.
        skip_corrupt (bool): Whether to go on after a corrupt file and print
            its error, in place of ending the process.

    Returns:
        list[str]: The names that were skipped.
    """
    skipped = {}
    for name in show_progress(outputs, len(outputs), 'Converting'):
        if outputs[name].exists():
            continue
        try:
            convert(name, outputs[name])
        except CorruptFileError as error:
            if not skip_corrupt:
                sys.exit(f'{error}\nReplace the file, or pass --skip-corrupt.')
            skipped[name] = error
    for reason in skipped.values():
        print(f'skipped: {reason}')
    return list(skipped)


def shorten(names: Iterable[object], most: int = 5) -> str:
    """List the first names for a message, and count those left out.

    Args:
        names (Iterable): The names.
        most (int, optional): How many to show. Defaults to 5.

    Examples:
        >>> shorten('abcdefg', 3)
        'a, b, c and 4 more'
    """
    names = list(names)
    shown = ', '.join(map(str, names[:most]))
    left = len(names) - most
    return f'{shown} and {left} more' if left > 0 else shown
