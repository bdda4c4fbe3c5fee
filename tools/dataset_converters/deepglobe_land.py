"""Prepare DeepGlobe Land: ``deepglobe_land.py data/deepglobe_land``.

Reads ``land-train`` as it was downloaded, checks it, and writes
``annotations`` (the colours of the masks as classes 0 to 5, unknown as 255)
and ``splits`` (five folds) beside it. Started again, it goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import sys
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from mmseg_jml.conversion.files import (
    CorruptFileError,
    read_image,
    write_label,
    write_names,
)
from mmseg_jml.conversion.progress import convert_all, shorten
from mmseg_jml.conversion.splits import rank_names

NUM_IMAGES = 803
NUM_FOLDS = 5
UNKNOWN, NO_CLASS = 255, 254


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Prepare DeepGlobe Land Cover Classification.'
    )
    parser.add_argument(
        'root', type=Path, help='the folder that holds land-train'
    )
    parser.add_argument(
        '--seed',
        type=int,
        help='draw the folds at random; default: the folds of the paper, '
        'blocks of 160 in the order of the file names',
    )
    parser.add_argument(
        '--skip-corrupt',
        action='store_true',
        help='leave corrupt images out of the splits and list them in '
        'splits/skipped.txt, instead of stopping at the first',
    )
    return parser.parse_args()


def find_names(folder: Path) -> list[str]:
    """Return the names of the images, in the order of their files.

    Raises:
        ValueError: If they are not the 803 images with their masks.
    """
    images = sorted(path.name for path in folder.glob('*_sat.jpg'))
    masks = {path.name for path in folder.glob('*_mask.png')}
    names = [image[: -len('_sat.jpg')] for image in images]
    lonely = sorted({f'{name}_mask.png' for name in names} ^ masks)
    if lonely:
        raise ValueError(
            f'Expected each image of {folder} to have a mask, and each mask '
            f'an image, but got no partner for {shorten(lonely)}.'
        )
    if len(names) != NUM_IMAGES:
        raise ValueError(
            f'Expected {NUM_IMAGES} images NAME_sat.jpg and as many masks '
            f'NAME_mask.png in {folder} but got {len(names)}. Unpack the '
            'training images of the challenge there.'
        )
    return names


@lru_cache(maxsize=None)
def palette() -> np.ndarray:
    """Return the colours of the classes, (6, 3) uint8."""
    from mmseg_jml.datasets import DeepGlobeLandDataset

    return np.array(DeepGlobeLandDataset.METAINFO['palette'], np.uint8)


def bright_channels(pixels: np.ndarray) -> np.ndarray:
    """Return which channels are bright, as three bits of a number.

    The challenge says to threshold at 128, since masks were compressed.
    """
    return (pixels >= 128) @ np.array([4, 2, 1], np.uint8)


def to_classes(colours: np.ndarray) -> np.ndarray:
    """Translate colours (H, W, 3) to classes (H, W), both uint8."""
    table = np.full(8, NO_CLASS, np.uint8)
    table[0] = UNKNOWN
    table[bright_channels(palette())] = np.arange(len(palette()))
    return table[bright_channels(colours)]


def convert(folder: Path, name: str, output: Path) -> None:
    """Check an image and its mask, and write the label.

    Raises:
        CorruptFileError: If either cannot be read, or they do not fit
            together.
    """
    image = read_image(folder / f'{name}_sat.jpg')
    path = folder / f'{name}_mask.png'
    mask = read_image(path)
    if mask.mode != 'RGB' or mask.size != image.size:
        raise CorruptFileError(
            f'Expected {path} to be RGB of {image.size} pixels as its image '
            f'but got {mask.mode} of {mask.size}.'
        )
    classes = to_classes(np.asarray(mask))
    if (classes == NO_CLASS).any():
        row, column = np.argwhere(classes == NO_CLASS)[0]
        raise CorruptFileError(
            f'Expected {path} to have the colours of the classes but got '
            f'{mask.getpixel((int(column), int(row)))} in row {row}, column '
            f'{column}, and such red in {(classes == NO_CLASS).sum()} pixels.'
        )
    write_label(output, classes, palette())


def validation_folds(names: list[str], seed: int | None) -> list[list[str]]:
    """Return the names that each fold validates on.

    Without a seed these are the authors' folds, of which none validates on
    the last three images.
    """
    if seed is None:
        size = len(names) // NUM_FOLDS
        return [names[k * size :][:size] for k in range(NUM_FOLDS)]
    ranked = rank_names(names, seed)
    return [ranked[k::NUM_FOLDS] for k in range(NUM_FOLDS)]


def write_splits(
    folder: Path, names: list[str], seed: int | None, skipped: list[str]
) -> None:
    """Write the folds, and a list of the images that were skipped."""
    kept = [name for name in names if name not in skipped]
    write_names(folder / 'skipped.txt', skipped)
    for k, fold in enumerate(map(set, validation_folds(names, seed))):
        val = (name for name in kept if name in fold)
        train = (name for name in kept if name not in fold)
        write_names(folder / f'fold{k}_val.txt', val)
        write_names(folder / f'fold{k}_train.txt', train)


def main() -> None:
    """Prepare the folder that the command line names."""
    args = parse_args()
    folder, labels = args.root / 'land-train', args.root / 'annotations'
    try:
        names = find_names(folder)
    except ValueError as error:
        sys.exit(str(error))
    outputs = {name: labels / f'{name}.png' for name in names}
    convert_one = partial(convert, folder)
    skipped = convert_all(outputs, convert_one, args.skip_corrupt)
    write_splits(args.root / 'splits', names, args.seed, skipped)
    print(
        f'{len(names) - len(skipped)} labels and {NUM_FOLDS} folds in '
        f'{args.root}, {len(skipped)} images skipped.'
    )


if __name__ == '__main__':
    main()
