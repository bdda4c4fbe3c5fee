"""The recipes, and what tells one from the other."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs'
FOLDERS = ('jml', 'jml_dinov2', 'jml_kd', 'jml_semi', 'jml_smooth')
ALL = sorted(
    path for folder in FOLDERS for path in (CONFIGS / folder).glob('*.py')
)
# Those that need lists of a split, and the others.
SEMI = [path for path in ALL if path.stem.startswith('semi-')]
RECIPES = [path for path in ALL if path not in SEMI]
# The ending of a name says on what is trained.
DATASETS = (
    'cityscapes-512x1024 voc12aug-512x512 ade20k-512x512 '
    'deepglobe-land-512x512 cityscapes-798x798 voc12aug-518x518 '
    'ade20k-518x518'
).split()
MMPRETRAIN = ('convnext', 'dinov2', 'efficientnet', 'mobilevit')


@cache
def config(path: Path) -> Config:
    """Reads a recipe once; whoever changes it makes a copy."""
    return Config.fromfile(path)


def name(path: Path) -> str:
    """Returns the name that a test shows."""
    return f'{path.parent.name}/{path.stem}'


def dataset(path: Path) -> str:
    """Returns what a recipe trains on."""
    return path.stem.rpartition('_')[2]


def model(path: Path) -> str:
    """Returns the part of a name before the number of GPUs."""
    return path.stem.partition('_4xb2')[0]


def needs_mmpretrain(path: Path) -> bool:
    """Tells whether the backbone is one of mmpretrain's."""
    return any(x in path.stem for x in MMPRETRAIN)


def bases(path: Path) -> list[Path]:
    """Returns the files that a config names in ``_base_``."""
    names = []
    for node in ast.parse(path.read_text()).body:
        if ast.unparse(node).startswith('_base_ ='):
            names = ast.literal_eval(node.value)
    names = [names] if isinstance(names, str) else names
    return [(path.parent / x).resolve() for x in names]
