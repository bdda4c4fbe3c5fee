"""Divide training images into labelled and unlabelled ones.

``python tools/split_dataset.py CONFIG --ratio 1/16 --out DIR`` divides the
images of a config's ``train_dataloader`` and writes two lists for
``ann_file``, ``labeled.txt`` and ``unlabeled.txt``. With the same seed, a
larger share contains the smaller ones. ``--list`` takes a published list
instead.
"""

from __future__ import annotations

import argparse
import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from mmseg_jml.conversion.files import write_names
from mmseg_jml.conversion.splits import count_of, rank_names, resolve_lines


class Source(NamedTuple):
    """The images to divide.

    Attributes:
        names (list[str]): Name of each image in ``ann_file``.
        img_suffix (str): What follows the name in the path of the image.
        by_labels (dict[str, set[str]]): The names of each folder of labels.
    """

    names: list[str]
    img_suffix: str
    by_labels: dict[str, set[str]]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Divide training images into labelled and unlabelled.'
    )
    parser.add_argument(
        'source', type=Path, help='a config, or a folder of images'
    )
    share = parser.add_mutually_exclusive_group(required=True)
    share.add_argument(
        '--ratio', type=ratio, help='share of labelled images, like 1/16'
    )
    share.add_argument('--count', type=int, help='number of labelled images')
    share.add_argument(
        '--list',
        type=Path,
        help='a published list of the labelled images',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the split; default: 0'
    )
    parser.add_argument(
        '--img-suffix',
        default='.jpg',
        help='end of the file names in a folder of images; default: .jpg',
    )
    parser.add_argument(
        '--out', type=Path, required=True, help='folder for the lists'
    )
    return parser.parse_args()


def ratio(text: str) -> Fraction:
    """Read 1/16 or 0.0625."""
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(
            f'expected a share between 0 and 1, like 1/16, but got {text!r}'
        )
    return share


def read_folder(folder: Path, suffix: str) -> Source:
    """Find the images of a folder and of its subfolders."""
    paths = sorted(folder.rglob(f'*{suffix}'))
    files = [path.relative_to(folder).as_posix() for path in paths]
    names = [file[: -len(suffix)] for file in files]
    return Source(names, suffix, {'': set(names)})


def read_config(path: Path) -> Source:
    """Find the images of a config's ``train_dataloader``.

    Raises:
        ValueError: If it has none, or reads them from several folders.
    """
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmseg_jml.datasets.parts import build_dataset, image_names, parts_of

    cfg = Config.fromfile(path)
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    if not cfg.get('train_dataloader'):
        raise ValueError('Expected train_dataloader but got none.')
    parts = parts_of(build_dataset(cfg.train_dataloader.dataset))
    images = {
        (part.data_prefix['img_path'], part.img_suffix) for part in parts
    }
    if len(images) > 1:
        raise ValueError(
            'Expected one folder and suffix of images, for names to mean one '
            f'image each, but got {sorted(images)}. Divide them one by one.'
        )
    by_labels = {}
    for part in parts:
        folder = part.data_prefix.get('seg_map_path') or ''
        by_labels.setdefault(folder, set()).update(image_names(part))
    return Source(
        sorted(set().union(*by_labels.values())),
        parts[0].img_suffix,
        by_labels,
    )


def labelled_names(source: Source, args: argparse.Namespace) -> set[str]:
    """Choose the images that count as labelled.

    Raises:
        ValueError: If there are too few images, or a list names others.
    """
    if args.list:
        lines = args.list.read_text().splitlines()
        return set(resolve_lines(lines, source.names, source.img_suffix))
    total = len(source.names)
    count = args.count if args.ratio is None else count_of(args.ratio, total)
    if not 0 < count < total:
        raise ValueError(
            f'Expected a number of labelled images from 1 to {total - 1}, as '
            f'{args.source} has {total}, but got {count}.'
        )
    return set(rank_names(source.names, args.seed)[:count])


def write_lists(source: Source, labelled: set[str], out: Path) -> None:
    """Write the lists, and print what each is for."""
    lists = {'unlabeled.txt': (set(source.names) - labelled, '')}
    above = os.path.commonpath(source.by_labels)
    for folder, names in source.by_labels.items():
        ending = ''
        if folder != above:
            below = os.path.relpath(folder, above)
            ending = '_' + below.replace(os.sep, '_')
        lists[f'labeled{ending}.txt'] = (names & labelled, folder)
    for file, (names, folder) in lists.items():
        write_names(out / file, sorted(names))
        labels = f', labels in {folder}' if folder else ''
        print(f'{out / file}: {len(names)} images{labels}')


def main() -> None:
    """Divide what the command line names."""
    args = parse_args()
    try:
        if args.source.is_dir():
            source = read_folder(args.source, args.img_suffix)
        else:
            source = read_config(args.source)
        labelled = labelled_names(source, args)
    except (OSError, TypeError, ValueError) as error:
        sys.exit(str(error))
    write_lists(source, labelled, args.out)


if __name__ == '__main__':
    main()
