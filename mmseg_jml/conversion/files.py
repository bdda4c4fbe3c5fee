"""Read and write images, masks and lists of data sets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = [
    'CorruptFileError',
    'read_image',
    'read_mask',
    'read_picture',
    'whole_file',
    'write_label',
    'write_names',
]


class CorruptFileError(ValueError):
    """A file without the content that it should have; it is named."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file so that it appears in one step, complete, or not at all.

    The block gets the path of a temporary file or folder, in a folder that
    is made if there is none, and it is renamed at the end. A process that
    dies leaves it behind; the next one overwrites it.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), 'splits', 'train.txt')
        >>> with whole_file(path) as unfinished:
        ...     _ = unfinished.write_text('100694')
        ...     path.exists()
        False
        >>> path.exists()
        True
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.unfinished-{path.name}')
    yield unfinished
    os.replace(unfinished, path)


def write_label(
    path: Path, classes: np.ndarray, palette: Sequence[Sequence[int]]
) -> None:
    """Write a label, (H, W) uint8, as a PNG with a palette.

    The palette has the RGB of each class, 0 to 255, as viewers show it. They
    show values that are no class in black.
    """
    # With fewer than 256 colours Pillow would store fewer bits and lose 255.
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette
    label = Image.fromarray(classes)
    label.putpalette(colours.tobytes())
    with whole_file(path) as unfinished:
        label.save(unfinished, format='PNG')


def write_names(path: Path, names: Iterable[str]) -> None:
    """Write a list of images, for `ann_file` of a data set."""
    with whole_file(path) as unfinished:
        unfinished.write_text(''.join(f'{name}\n' for name in names))


def read_image(path: Path) -> Image.Image:
    """Read an image with all its pixels.

    Raises:
        CorruptFileError: If it is missing, broken or cut off.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    # what Pillow raises depends on where a file breaks off
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise CorruptFileError(
            f'Expected {path} to be a whole image but got: {error}'
        ) from error


def read_mask(path: Path) -> np.ndarray:
    """Read a mask in a format of Pillow or in NIfTI, which needs nibabel.

    It is (H, W) unless the file holds channels.

    Raises:
        CorruptFileError: If the file is missing, broken or cut off.
    """
    return _read_nifti(path) if _is_nifti(path) else np.array(read_image(path))


def read_picture(
    path: Path, channels: Sequence[int] | None = None
) -> Image.Image:
    """Read an image and make it one that stock pipelines can load.

    Args:
        path (Path): The file, in a format of Pillow or in NIfTI. Other than 8
            bits are stretched to the range from 0 to 255.
        channels (Sequence[int], optional): One or three channels to take from
            a file that has more. Defaults to None.

    Returns:
        Image.Image: Grey or RGB, 8 bits.

    Raises:
        CorruptFileError: If it is broken, or has another number of channels.
    """
    if _is_nifti(path):
        pixels = _read_nifti(path)
    else:
        image = read_image(path)
        pixels = np.array(image.convert('RGB') if image.mode == 'P' else image)
    if channels and pixels.ndim == 3 and max(channels) < pixels.shape[2]:
        pixels = pixels[..., channels]
    if pixels.shape[2:] == (1,):
        pixels = pixels[..., 0]
    if pixels.ndim != 2 and pixels.shape[2:] != (3,):
        raise CorruptFileError(
            f'Expected {path} to be (H, W) or (H, W, 3) but got '
            f'{pixels.shape}. --channels takes one or three of its channels.'
        )
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float64)
        low, high = pixels.min(), pixels.max()
        pixels = np.rint(255 * (pixels - low) / ((high - low) or 1))
    return Image.fromarray(pixels.astype(np.uint8))


def _is_nifti(path: Path) -> bool:
    return path.name.endswith(('.nii', '.nii.gz'))


def _read_nifti(path: Path) -> np.ndarray:
    """Read a slice, (H, W) or (H, W, C)."""
    try:
        import nibabel
    except ImportError as error:
        raise ImportError(
            f'Expected nibabel, to read {path}, but got none. Install it: '
            'pip install nibabel'
        ) from error
    try:
        image: Any = nibabel.load(path)  # its class depends on the file
        pixels = np.asarray(image.dataobj).squeeze()
    except Exception as error:  # of nibabel, gzip or zlib
        raise CorruptFileError(
            f'Expected {path} to be a whole NIfTI file but got: {error}'
        ) from error
    if pixels.ndim == 3:  # the shortest axis is taken for the channels
        pixels = np.moveaxis(pixels, np.argmin(pixels.shape), -1)
    # NIfTI has the axis from left to right first
    return pixels.swapaxes(0, 1) if pixels.ndim > 1 else pixels
