"""Convert many images: resume, show progress, list names in messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
    names: list[str],
    convert: Callable[[str], None],
    output: Callable[[str], Path],
    skip_corrupt: bool = False,
) -> dict[str, str]:
    """Convert the images that were not converted before.

    Args:
        names (list[str]): Names of the images.
        convert (Callable): Converts the image of a name. It writes the
            ``output`` of the name last, by :func:`whole_file`.
        output (Callable): Returns the file whose existence shows that a name
            is done.
        skip_corrupt (bool, optional): Whether to go on after a corrupt file,
            in place of raising its error. Defaults to False.

    Returns:
        dict[str, str]: The reason for each name that was skipped.
    """
    skipped = {}
    for name in show_progress(names, len(names), 'Converting'):
        if output(name).exists():
            continue
        try:
            convert(name)
        except CorruptFileError as error:
            if not skip_corrupt:
                raise
            skipped[name] = str(error)
    return skipped


def shorten(names: Iterable[object], most: int = 5) -> str:
    """List the first names for a message, and count those left out.

    Args:
        names (Iterable): The names.
        most (int, optional): How many to show. Defaults to 5.

    Example:
        >>> shorten('abcdefg', 3)
        'a, b, c and 4 more'
    """
    names = list(names)
    shown = ', '.join(map(str, names[:most]))
    left = len(names) - most
    return f'{shown} and {left} more' if left > 0 else shown
