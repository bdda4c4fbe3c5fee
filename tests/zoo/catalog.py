"""MMSegmentation's own configs, and the picks that stand for them all."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

import mmseg
from mmengine.config import Config

CONFIGS = Path(mmseg.__file__).parent / '.mim' / 'configs'
# Families without a loss over pixels: they classify masks or regress depth.
OTHER_TASKS = ('mask2former', 'maskformer', 'san', 'vpd')


class Pick(NamedTuple):
    """The config that stands for all with the same parts and losses."""

    config: str
    stands_for: int


@cache
def all_configs() -> dict[str, Config]:
    """Reads every shipped config; the key is its path below ``CONFIGS``."""
    paths = sorted(
        path.relative_to(CONFIGS)
        for path in CONFIGS.rglob('*.py')
        if '_base_' not in path.parts
    )
    return {path.as_posix(): read(path.as_posix()) for path in paths}


def read(name: str) -> Config:
    """Reads one config without the packages that it wants imported."""
    return Config.fromfile(CONFIGS / name, import_custom_modules=False)


def family(name: str) -> str:
    """Returns the folder of a config."""
    return name.partition('/')[0]


def picks() -> list[Pick]:
    """Picks the cheapest config of each group with the same architecture.

    The cheapest has the smallest sum of numbers (depths, widths ...) in
    backbone, neck and main head.
    """
    groups = defaultdict(list)
    for name, cfg in all_configs().items():
        if family(name) not in OTHER_TASKS:
            groups[_parts(name, cfg.model)].append(name)
    return [
        Pick(min(names, key=_cost), len(names)) for names in groups.values()
    ]


def as_list(heads) -> list[dict]:
    """Returns the heads of an entry that holds one, several or none."""
    if isinstance(heads, (list, tuple)):
        return list(heads)
    return [heads] if heads else []


def _parts(name: str, model: dict) -> tuple[str, ...]:
    """Returns what the configs of a group share."""
    types = family(name), model['type'], model['backbone']['type']
    heads = model['decode_head'], model.get('auxiliary_head')
    return (*types, *map(_summary, heads))


def _summary(heads) -> str:
    summaries = []
    for head in as_list(heads):
        inner = head.get('kernel_generate_head', head)
        losses = {key: inner[key] for key in inner if key.startswith('loss')}
        is_binary = inner['num_classes'] == 2
        parts = head['type'], inner['type'], losses, head.get('sampler')
        summaries.append((*parts, is_binary))
    return json.dumps(summaries, sort_keys=True)


def _cost(name: str) -> tuple[float, str]:
    model = all_configs()[name].model
    parts = (model.get(key) for key in ('backbone', 'neck', 'decode_head'))
    return sum(map(_sum_of_numbers, parts)), name


def _sum_of_numbers(node) -> float:
    if isinstance(node, dict):
        return sum(map(_sum_of_numbers, node.values()))
    if isinstance(node, (list, tuple)):
        return sum(map(_sum_of_numbers, node))
    is_number = isinstance(node, (int, float)) and not isinstance(node, bool)
    return abs(node) if is_number else 0
