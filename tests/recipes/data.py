"""Small data sets, laid out as the real ones: folders, names and labels.

Images and labels have an eighth of the real sizes. A label is made of blocks
of all classes in turn, and of ignored rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZES = {  # (height, width)
    'cityscapes': (128, 256),
    'VOCdevkit/VOC2012': (47, 63),
    'ade/ADEChallengeData2016': (64, 86),
    'deepglobe_land': (306, 306),
}


def write_all(root: Path) -> None:
    """Writes ``data/...`` of every data set below a folder."""
    cityscapes(root / 'cityscapes')
    voc(root / 'VOCdevkit/VOC2012')
    ade(root / 'ade/ADEChallengeData2016')
    deepglobe(root / 'deepglobe_land')


def label(size: tuple[int, int], values, ignored: int = 255) -> np.ndarray:
    """Returns blocks of 8x8 pixels, the two last rows of them ignored."""
    rows, columns = (-(-side // 8) for side in size)
    blocks = np.resize(np.array([*values], np.uint8), (rows, columns))
    blocks[-2:] = ignored
    return blocks.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]]


def cityscapes(root: Path) -> None:
    """Writes two towns; beside the labels for training lie the others."""
    for split, town in (('train', 'aachen'), ('val', 'lindau')):
        for i in range(2):
            stem = f'{split}/{town}/{town}_{i:06}_000019'
            image(root, f'leftImg8bit/{stem}_leftImg8bit.png')
            mask(root, f'gtFine/{stem}_gtFine_labelTrainIds.png', range(19))
            mask(root, f'gtFine/{stem}_gtFine_labelIds.png', range(7, 34), 0)


def voc(root: Path) -> None:
    """Writes labels with a palette for 2012 and without for the added."""
    splits = dict(
        train=['2007_000032', '2007_000039'],
        aug=['2008_000002', '2008_000003'],
        val=['2007_000033', '2007_000042'],
    )
    for split, names in splits.items():
        is_added = split == 'aug'
        folder = 'SegmentationClass' + 'Aug' * is_added
        for stem in names:
            image(root, f'JPEGImages/{stem}.jpg')
            name = f'{folder}/{stem}.png'
            mask(root, name, range(21), palette=not is_added)
        lines(root / f'ImageSets/Segmentation/{split}.txt', names)


def ade(root: Path) -> None:
    """Writes labels from 1 to 150, with 0 for anything else."""
    for split, short in (('training', 'train'), ('validation', 'val')):
        for i in (1, 2):
            stem = f'{split}/ADE_{short}_{i:08}'
            image(root, f'images/{stem}.jpg')
            mask(root, f'annotations/{stem}.png', range(1, 151), 0)


def deepglobe(root: Path) -> None:
    """Writes what the converter leaves: five folds of indexed labels."""
    names = ['100694', '102122', '10233', '103665', '103730']
    for fold, stem in enumerate(names):
        image(root, f'land-train/{stem}_sat.jpg')
        mask(root, f'annotations/{stem}.png', range(6))
        others = [name for name in names if name != stem]
        lines(root / f'splits/fold{fold}_val.txt', [stem])
        lines(root / f'splits/fold{fold}_train.txt', others)


def size_of(root: Path) -> tuple[int, int]:
    return next(SIZES[key] for key in SIZES if str(root).endswith(key))


def image(root: Path, name: str) -> None:
    """Writes noise of the size of the data set."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (*size_of(root), 3), np.uint8)
    Image.fromarray(noise).save(made(root / name))


def mask(root: Path, name: str, classes, ignored=255, palette=False) -> None:
    """Writes a label, with a palette as VOC has it or in grey."""
    picture = Image.fromarray(label(size_of(root), classes, ignored))
    if palette:
        picture.putpalette(list(range(256)) * 3)
    picture.save(made(root / name))


def lines(path: Path, names: list[str]) -> None:
    """Writes one name a line."""
    made(path).write_text('\n'.join(names) + '\n')


def made(path: Path) -> Path:
    """Returns a path whose folder exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
