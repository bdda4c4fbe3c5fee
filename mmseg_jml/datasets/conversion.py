"""What the converters of data sets share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

__all__ = [
    'CorruptFileError',
    'convert_all',
    'read_image',
    'shorten',
    'show_progress',
    'whole_file',
    'write_label',
    'write_names',
]


class CorruptFileError(ValueError):
    """A file that is not what it should be. The message names it."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Lets a file appear in one step, whole, or not at all.

    Args:
        path (Path): The file. Its folder is made if there is none.

    Yields:
        Path: Where to write it. A process that dies leaves this one behind;
        the next one overwrites it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.unfinished-{path.name}')
    yield unfinished
    os.replace(unfinished, path)


def write_label(
    path: Path, classes: np.ndarray, palette: Sequence[Sequence[int]]
) -> None:
    """Writes a label in the colours of its classes.

    Args:
        path (Path): The file, a PNG.
        classes (np.ndarray): (H, W) uint8, what the file holds.
        palette (Sequence[Sequence[int]]): RGB of each class, 0 to 255. In a
            viewer, what is out of the classes is black.
    """
    # With fewer colours Pillow would store fewer than 8 bits, and cut 255.
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette
    label = Image.fromarray(classes)
    label.putpalette(colours.tobytes())
    with whole_file(path) as unfinished:
        label.save(unfinished, format='PNG')


def write_names(path: Path, names: Iterable[str]) -> None:
    """Writes a list of images, for `ann_file` of a data set.

    Args:
        path (Path): The file.
        names (Iterable[str]): One name for each line.
    """
    with whole_file(path) as unfinished:
        unfinished.write_text(''.join(f'{name}\n' for name in names))


def read_image(path: Path) -> Image.Image:
    """Reads an image with all its pixels.

    Args:
        path (Path): The file.

    Returns:
        Image.Image: The image, in the mode of the file.

    Raises:
        CorruptFileError: If it is missing, broken or cut off.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    # what Pillow raises, which depends on where a file breaks off
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise CorruptFileError(
            f'Expected {path} to be a whole image but got: {error}'
        ) from error


def show_progress(items: Iterable, total: int, action: str) -> Iterator:
    """Shows a bar while it passes items on.

    Args:
        items (Iterable): The items.
        total (int): Their number.
        action (str): What is done with them.

    Yields:
        object: Each item.
    """
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total, description=action)


def convert_all(
    names: list[str],
    convert: Callable[[str], None],
    output: Callable[[str], Path],
    skip_corrupt: bool = False,
) -> dict[str, str]:
    """Converts what was not converted before.

    Args:
        names (list[str]): What to convert.
        convert (Callable): Converts one. Writes its `output` last, by
            :func:`whole_file`.
        output (Callable): Returns the file that tells that one is done.
        skip_corrupt (bool, optional): Whether to go on after a corrupt file.
            Defaults to False.

    Returns:
        dict[str, str]: What was skipped, and why.

    Raises:
        CorruptFileError: At the first corrupt file, unless it is skipped.
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
    """Lists some names for a message.

    Args:
        names (Iterable): The names.
        most (int, optional): How many to show. Defaults to 5.

    Returns:
        str: The first of them, and how many more there are.

    Example:
        >>> shorten('abcdefg', 3)
        'a, b, c and 4 more'
    """
    names = list(names)
    shown = ', '.join(map(str, names[:most]))
    left = len(names) - most
    return f'{shown} and {left} more' if left > 0 else shown
