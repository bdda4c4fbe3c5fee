"""Look for what is wrong with the data of a config, before training.

``python tools/dataset_check.py CONFIG`` opens the data sets for training and
validation, and the unlabelled one of a ``PseudoLabelHook``. It prints what
has to be fixed, how frequent the classes are, and which label smoothing and
which level of the index fit them. It draws a contact sheet, and exits with
status 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmseg_jml import cli

if TYPE_CHECKING:
    from prettytable import PrettyTable

    from mmseg_jml.data_check import Findings


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Look for what is wrong with the data of a config.'
    )
    cli.add_config_options(parser)
    parser.add_argument(
        '--limit',
        type=int,
        help='how many images of each data set to open; default: all',
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='the contact sheet; default: '
        'work_dirs/NAME_OF_CONFIG/contact_sheet.png',
    )
    args = parser.parse_args()
    if args.limit is not None and args.limit < 1:
        parser.error(f'expected --limit of at least 1 but got {args.limit}')
    return args


def frequencies(found: Sequence[Findings]) -> PrettyTable:
    """Tabulate the share of each class in the labelled pixels, in percent."""
    from prettytable import PrettyTable

    table = PrettyTable()
    names = max((findings.classes for findings in found), key=len)
    table.add_column('class', list(names), align='l')
    for findings in found:
        pixels = findings.pixels[:-1]
        cells = [f'{n:.2f}' for n in 100 * pixels / max(pixels.sum(), 1)]
        cells += [''] * (len(names) - len(cells))
        table.add_column(findings.name, cells, align='r')
    return table


def report(found: Sequence[Findings]) -> None:
    """Print what was found."""
    for findings in found:
        ignored = findings.pixels[-1] / max(findings.pixels.sum(), 1)
        print(
            f'{findings.name}: {findings.images} images, '
            f'{findings.examined} opened, {ignored:.1%} of pixels ignored'
        )
        for text in findings.problems:
            print(f'  PROBLEM: {text}')
        for text in findings.notes:
            print(f'  note: {text}')
    labelled = [findings for findings in found if findings.pixels[:-1].any()]
    if labelled:
        print('Percent of labelled pixels:')
        print(frequencies(labelled))
    for findings in found:
        for text in findings.advice:
            print(f'{findings.name}, {text}')


def draw(found: Sequence[Findings], path: Path) -> None:
    """Draw the contact sheet, if any image could be loaded."""
    from PIL import Image

    from mmseg_jml.visualization import draw_contact_sheet

    views = {findings.name: findings.views for findings in found}
    if not any(views.values()):
        return
    most = max(found, key=lambda findings: len(findings.classes))
    sheet = draw_contact_sheet(views, most.classes, most.palette)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path)
    print(f'Contact sheet: {path}')


def main() -> None:
    """Check the config that the command line names."""
    args = parse_args()
    cfg = cli.load_config(args)
    cfg.merge_from_dict(args.cfg_options)
    from mmseg_jml.data_check import check_config

    try:
        found = check_config(cfg, args.limit)
    except ValueError as error:
        sys.exit(str(error))
    report(found)
    folder = Path('work_dirs', Path(args.config).stem)
    draw(found, args.out or folder / 'contact_sheet.png')
    problems = sum(len(findings.problems) for findings in found)
    told = {0: 'No problem found.', 1: '1 problem.'}
    print(told.get(problems, f'{problems} problems.'))
    sys.exit(1 if problems else 0)


if __name__ == '__main__':
    main()
