"""Average the masks of several annotators: ``multi_annotator.py SOURCE OUT``.

Finds images and their masks by patterns, by default those of QUBIQ, checks
them, and writes three files for each image: ``images/NAME.png``;
``annotations/NAME.png``, the vote of the majority; and
``probabilities/NAME.npy``, the share of annotators for each class, which
``LoadSoftLabels`` reads. Images may have different numbers of annotators.
Started again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmseg_jml.conversion.files import (
    CorruptFileError,
    read_mask,
    read_picture,
    whole_file,
    write_label,
    write_names,
)
from mmseg_jml.conversion.progress import convert_all


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Average the masks of several annotators.'
    )
    parser.add_argument('source', type=Path, help='folder of the data set')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument(
        '--image',
        default='{name}/image.nii.gz',
        help='path of an image below SOURCE; default: %(default)s',
    )
    parser.add_argument(
        '--masks',
        default='{name}/task01_seg*.nii.gz',
        help='paths of its masks, with * for the annotator; '
        'default: %(default)s',
    )
    parser.add_argument(
        '--classes', type=int, default=2, help='default: %(default)s'
    )
    parser.add_argument(
        '--binary',
        action='store_true',
        help='count everything but 0 in a mask as class 1',
    )
    parser.add_argument(
        '--channels',
        type=int,
        nargs='+',
        help='one or three channels to take from images that have more',
    )
    parser.add_argument(
        '--skip-corrupt',
        action='store_true',
        help='list images with corrupt files in skipped.txt, instead of '
        'stopping at the first',
    )
    args = parser.parse_args()
    if args.image.count('{name}') != 1 or '{name}' not in args.masks:
        parser.error('--image has {name} once, and --masks has it too')
    return args


def find_names(source: Path, pattern: str) -> list[str]:
    """Return the part of each image path that ``{name}`` stands for.

    Raises:
        ValueError: If there is no image.
    """
    before, after = pattern.split('{name}')
    paths = source.glob(f'{before}*{after}')
    files = (path.relative_to(source).as_posix() for path in paths)
    names = sorted(
        file[len(before) : len(file) - len(after)] for file in files
    )
    if not names:
        raise ValueError(
            f'Expected images {source / pattern} but found none. --image says '
            'where they are.'
        )
    return names


def find_masks(source: Path, pattern: str, name: str) -> list[Path]:
    """Return the masks of an image, in the order of their names."""
    return sorted(source.glob(pattern.replace('{name}', glob.escape(name))))


def shares(
    paths: Sequence[Path], size: tuple[int, int], classes: int, binary: bool
) -> np.ndarray:
    """Compute the share of annotators that chose each class.

    Args:
        paths (Sequence[Path]): The masks of the annotators.
        size (tuple[int, int]): Height and width.
        classes (int): Number of classes C.
        binary (bool): Whether everything but 0 is class 1.

    Returns:
        np.ndarray: (C, H, W) float64.

    Raises:
        CorruptFileError: If a mask has another size, or other values.
    """
    votes = np.zeros((classes, *size))
    for path in paths:
        mask = read_mask(path)
        if mask.shape != size:
            raise CorruptFileError(
                f'Expected {path} to be {size} as its image but got '
                f'{mask.shape}.'
            )
        mask = mask != 0 if binary else mask
        values = np.unique(mask)
        if not np.isin(values, np.arange(classes)).all():
            raise CorruptFileError(
                f'Expected {path} to hold classes from 0 to {classes - 1} but '
                f'got {values[:8].tolist()}. --classes sets their number; '
                '--binary takes whatever is not 0 for class 1.'
            )
        votes += mask == np.arange(classes)[:, None, None]
    return votes / len(paths)


def convert(args: argparse.Namespace, name: str, output: Path) -> None:
    """Write the three files of an image, the ``output`` last.

    Raises:
        CorruptFileError: If a file cannot be read, or does not fit.
    """
    path = args.source / args.image.replace('{name}', name)
    masks = find_masks(args.source, args.masks, name)
    if not masks:
        raise CorruptFileError(f'Expected masks of {path} but found none.')
    image = read_picture(path, args.channels)
    size = image.size[::-1]
    probabilities = shares(masks, size, args.classes, args.binary)
    with whole_file(args.out / 'images' / f'{name}.png') as file:
        image.save(file, format='PNG')
    majority = probabilities.argmax(0).astype(np.uint8)
    greys = np.linspace(0, 255, args.classes)[:, None].repeat(3, 1)
    write_label(args.out / 'annotations' / f'{name}.png', majority, greys)
    with whole_file(output) as unfinished:
        with unfinished.open('wb') as file:
            np.save(file, probabilities.astype(np.float16))


def keep_options(args: argparse.Namespace) -> None:
    """Store the options in the output folder, and refuse others later.

    Raises:
        ValueError: If the folder was begun with other options.
    """
    path = args.out / 'options.json'
    options = dict(vars(args), source=str(args.source.resolve()))
    for key in ('out', 'skip_corrupt'):
        del options[key]
    before = json.loads(path.read_text()) if path.exists() else options
    if before != options:
        raise ValueError(
            f'Expected the options that {args.out} was begun with, {before}, '
            f'but got {options}. Choose another folder.'
        )
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(options, indent=2))


def main() -> None:
    """Convert what the command line names."""
    args = parse_args()
    try:
        names = find_names(args.source, args.image)
        keep_options(args)
        folder = args.out / 'probabilities'
        outputs = {name: folder / f'{name}.npy' for name in names}
        skipped = convert_all(
            outputs, partial(convert, args), args.skip_corrupt
        )
    except (ImportError, ValueError) as error:
        sys.exit(str(error))
    write_names(args.out / 'skipped.txt', skipped)
    numbers = Counter(
        len(find_masks(args.source, args.masks, name))
        for name in names
        if name not in skipped
    )
    for annotators, images in sorted(numbers.items()):
        print(f'{images} images of {annotators} annotators in {args.out}')


if __name__ == '__main__':
    main()
