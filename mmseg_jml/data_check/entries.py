"""Check what can be checked in a config without opening its data."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmseg.registry import HOOKS, MODELS

from ..config import children, loss_entries, type_name
from ..datasets.parts import source_entries
from ..heads import HEADS, HeadFacts
from ..losses.loss_entry import LossEntry
from ..supervision.weak_pipeline import pipeline_of, weak_pipeline

__all__ = [
    'UNLABELED',
    'data_entries',
    'entry_problems',
    'head_problems',
    'ignored_labels',
]

UNLABELED = 'unlabeled'


def data_entries(cfg: Config) -> Iterator[tuple[str, dict]]:
    """Find the data sets in a config.

    Yields:
        tuple[str, dict]: 'train', 'val' or 'unlabeled', and the entry.
    """
    train = (cfg.get('train_dataloader') or {}).get('dataset')
    for name in ('train', 'val'):
        loader = cfg.get(f'{name}_dataloader')
        if loader:
            yield name, loader['dataset']
    for hook in cfg.get('custom_hooks') or ():
        loader = hook.get('unlabeled_dataloader')
        if loader:
            entry = copy.deepcopy(loader['dataset'])
            for source in source_entries(entry):
                # as the hook does for an entry without a pipeline
                source.setdefault(
                    'pipeline', weak_pipeline(pipeline_of(train or {}))
                )
            yield UNLABELED, entry


def head_problems(model: Mapping, num_classes: int) -> Iterator[str]:
    """Compare the number of classes of heads with that of the data."""
    for key in ('decode_head', 'auxiliary_head'):
        heads = model.get(key) or ()
        for head in heads if isinstance(heads, (list, tuple)) else [heads]:
            number = head.get('num_classes', num_classes)
            facts = HEADS.get(type_name(head), HeadFacts())
            if number != num_classes and not facts.other_classes:
                yield (
                    f'{key} has num_classes={number} but the data has '
                    f'{num_classes} classes'
                )


def ignored_labels(node: Any) -> set[int]:
    """Find the labels that heads and losses ignore.

    Examples:
        >>> sorted(ignored_labels(dict(decode_head=[
        ...     dict(ignore_index=0, loss_decode=dict(ignore_index=254))])))
        [0, 254]
    """
    found: set[int] = set()
    for path, child in children(node, ''):
        if path.endswith('.ignore_index') and child is not None:
            found.add(child)
        else:
            found |= ignored_labels(child)
    return found


def entry_problems(cfg: Config) -> Iterator[str]:
    """Look for misspelled names and wrong options of losses and hooks."""
    scope = cfg.get('default_scope') or 'mmseg'
    with HOOKS.switch_scope_and_registry(scope) as registry:
        for key in ('custom_hooks', 'default_hooks'):
            for path, entry in children(cfg.get(key), key):
                if isinstance(entry, Mapping):
                    yield from _unknown_type(registry, path, entry)
    with MODELS.switch_scope_and_registry(scope) as registry:
        for path, entry in loss_entries(cfg.get('model'), 'model'):
            yield from _unknown_type(registry, path, entry)
            yield from _wrong_options(registry, path, entry)


def _unknown_type(
    registry: Registry, path: str, entry: Mapping
) -> Iterator[str]:
    kind = entry.get('type')
    if not isinstance(kind, str) or registry.get(kind) is not None:
        return
    short = kind.rpartition('.')[2]
    near = difflib.get_close_matches(short, _names(registry.root), n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    yield f'{path}.type: nothing is called {kind!r}{hint}'


def _names(registry: Registry) -> set[str]:
    names = set(registry.module_dict)
    return names.union(*map(_names, registry.children.values()))


def _wrong_options(
    registry: Registry, path: str, entry: Mapping
) -> Iterator[str]:
    """Find negative weights, and options that a loss of ours refuses."""
    if entry.get('loss_weight', 1) < 0:
        yield (
            f'{path}.loss_weight: expected at least 0 but got '
            f'{entry["loss_weight"]}, by which training would raise the loss'
        )
    kind = entry.get('type')
    kind = registry.get(kind) if isinstance(kind, str) else kind
    if isinstance(kind, type) and issubclass(kind, LossEntry):
        try:
            registry.build(dict(entry))
        except Exception as error:  # its own, or one of reading a file
            yield f'{path}: {error}'
