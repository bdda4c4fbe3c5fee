"""The data of the demo: small scenes of handwritten digits."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from PIL import Image

from ..registry import DATASETS
from .digit_composer import SceneRecipe, compose_scene

__all__ = ['DigitScenesDataset', 'write_digit_scenes']

NUM_SCENES = {'training': 3000, 'validation': 300}
FOLDERS = ('images', 'annotations')
# Lists what was written. It comes last, so a folder without it is not whole.
CONTENTS = 'contents.json'


@DATASETS.register_module()
class DigitScenesDataset(BaseSegDataset):
    """Small scenes of handwritten digits over textured paper.

    Nothing is downloaded: the digits are in scikit-learn, and the scenes are
    written to `data_root` the first time that a dataset finds none there.
    Digits overlap and hide behind bars; small and rare ones matter, since
    each is less frequent than the one before. The two splits share no digit
    sample.

    .. code-block:: none

        data/digit_scenes
        ├── images
        │   ├── training        0000.png ...
        │   └── validation
        └── annotations
            ├── training        0000.png ...
            └── validation

    Args:
        img_suffix (str, optional): Suffix of the images. Defaults to '.png'.
        seg_map_suffix (str, optional): Suffix of the masks. Defaults to
            '.png'.
        **kwargs: Arguments of :class:`mmseg.datasets.BaseSegDataset`.
    """

    METAINFO = dict(
        classes=(
            'background',
            *('zero', 'one', 'two', 'three', 'four'),
            *('five', 'six', 'seven', 'eight', 'nine'),
        ),
        palette=[
            [0, 0, 0],
            [31, 119, 180],
            [255, 127, 14],
            [44, 160, 44],
            [214, 39, 40],
            [148, 103, 189],
            [140, 86, 75],
            [227, 119, 194],
            [127, 127, 127],
            [188, 189, 34],
            [23, 190, 207],
        ],
    )

    def __init__(
        self,
        img_suffix: str = '.png',
        seg_map_suffix: str = '.png',
        **kwargs,
    ) -> None:
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Lists the scenes, after writing them if there are none.

        Returns:
            list[dict]: Paths of each image and mask.
        """
        if self.data_root is not None:
            write_digit_scenes(self.data_root)
        return super().load_data_list()


def write_digit_scenes(
    root: str | Path, num_scenes: Mapping[str, int] | None = None
) -> None:
    """Writes the images and masks, unless they are there.

    They appear in one step: a folder that was left half written, or holds
    scenes of another recipe, is replaced by a whole one.

    Args:
        root (str | Path): The folder to hold them.
        num_scenes (Mapping, optional): Number of scenes in 'training' and
            'validation'. Defaults to None, which stands for those that are
            there, or 3000 and 300.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If a folder to replace holds anything but scenes.
    """
    root = Path(root)
    if _is_whole(root, num_scenes):
        return
    if root.exists():
        _refuse_foreign_files(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    print_log(f'Writing scenes of handwritten digits to {root}', 'current')
    with tempfile.TemporaryDirectory(
        prefix=f'.{root.name}-', dir=root.parent
    ) as scratch:
        fresh, stale = Path(scratch, 'fresh'), Path(scratch, 'stale')
        _write_folder(fresh, num_scenes or NUM_SCENES)
        try:
            if root.exists() and not _is_whole(root, num_scenes):
                root.rename(stale)
            fresh.rename(root)
        except OSError:  # another process was faster
            if not _is_whole(root, num_scenes):
                raise


def _write_folder(root: Path, num_scenes: Mapping[str, int]) -> None:
    palette = np.array(DigitScenesDataset.METAINFO['palette'], np.uint8)
    for split, number in num_scenes.items():
        for folder in FOLDERS:
            (root / folder / split).mkdir(parents=True)
        for index in range(number):
            pixels, mask = compose_scene(split, index)
            image, annotation = Image.fromarray(pixels), Image.fromarray(mask)
            annotation.putpalette(palette.tobytes())
            for folder, picture in zip(FOLDERS, (image, annotation)):
                path = root / folder / split / f'{index:04}.png'
                picture.save(path, compress_level=1)
    contents = dict(num_scenes=dict(num_scenes), recipe=_recipe())
    (root / CONTENTS).write_text(json.dumps(contents, indent=2))


def _recipe() -> dict:
    """Returns the recipe as it comes back from a file."""
    return json.loads(json.dumps(asdict(SceneRecipe())))


def _is_whole(root: Path, num_scenes: Mapping[str, int] | None) -> bool:
    """Tells whether the folder has all scenes that it lists."""
    try:
        contents = json.loads((root / CONTENTS).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    listed = contents['num_scenes']
    return (
        contents['recipe'] == _recipe()
        and listed == (num_scenes or listed)
        and all(
            len(list((root / folder / split).glob('*.png'))) == number
            for split, number in listed.items()
            for folder in FOLDERS
        )
    )


def _refuse_foreign_files(root: Path) -> None:
    names = {path.name for path in root.iterdir()}
    foreign = sorted(names - {CONTENTS, *FOLDERS})
    if foreign:
        raise ValueError(
            f'Expected {root} to hold nothing but scenes, to replace them, '
            f'but got {", ".join(foreign)}. Choose another data_root.'
        )
