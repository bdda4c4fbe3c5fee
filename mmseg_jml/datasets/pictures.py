"""Reads the images and masks of data sets that are to be converted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .conversion import CorruptFileError, read_image

__all__ = ['read_mask', 'read_picture']


def read_mask(path: Path) -> np.ndarray:
    """Reads a mask in a format of Pillow, or in NIfTI.

    Args:
        path (Path): The file.

    Returns:
        np.ndarray: The values in the file, (H, W) unless it holds channels.

    Raises:
        CorruptFileError: If it is missing, broken or cut off.
        ImportError: If it wants nibabel, and there is none.
    """
    return _read_nifti(path) if _is_nifti(path) else np.array(read_image(path))


def read_picture(
    path: Path, channels: Sequence[int] | None = None
) -> Image.Image:
    """Reads an image as one that stock pipelines load.

    Args:
        path (Path): The file, in a format of Pillow or in NIfTI. What has
            not 8 bits is stretched to their range.
        channels (Sequence[int], optional): One or three channels to take from
            a file that has more. Defaults to None.

    Returns:
        Image.Image: Grey or RGB, 8 bits.

    Raises:
        CorruptFileError: If it is broken, or has other channels.
        ImportError: If it wants nibabel, and there is none.
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
    """Returns a slice, (H, W) or (H, W, C)."""
    try:
        import nibabel
    except ImportError as error:
        raise ImportError(
            f'Expected nibabel, to read {path}, but got none. Install it: '
            'pip install nibabel'
        ) from error
    try:
        pixels = np.asarray(nibabel.load(path).dataobj).squeeze()
    except Exception as error:  # its own, those of gzip and of zlib
        raise CorruptFileError(
            f'Expected {path} to be a whole NIfTI file but got: {error}'
        ) from error
    if pixels.ndim == 3:  # the channels are fewer than rows and columns
        pixels = np.moveaxis(pixels, np.argmin(pixels.shape), -1)
    # stored from left to right first
    return pixels.swapaxes(0, 1) if pixels.ndim > 1 else pixels
