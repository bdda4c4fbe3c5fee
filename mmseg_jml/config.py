"""Edits of MMSegmentation configs that merging an entry cannot express."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from . import losses
from .heads import HEADS, HeadFacts

PIXEL_CROSS_ENTROPIES = ('CrossEntropyLoss', 'OhemCrossEntropy')


def replace_pixel_loss(
    cfg: Config, loss: str, heads: Sequence[str] = ('decode_head',)
) -> dict[str, str]:
    """Put a loss of this package in place of a model's pixel cross-entropy.

    Only ``type`` changes: the other keys of the entry (``loss_weight``,
    ``class_weight``, ...) stay and keep their meaning. Entries are found in
    lists of losses (DDRNet, PIDNet), in lists of heads (OCRNet, PointRend:
    every stage is a main head) and in nested heads (K-Net). Losses that are
    not a cross-entropy over the classes of pixels stay: Dice,
    ``loss_se_decode`` of EncNet, the boundary losses of PIDNet and STDC.

    Args:
        cfg (Config): A config whose ``model`` is a segmentor. It is changed
            in place.
        loss (str): Name of a loss of this package, with or without the
            prefix ``mmseg_jml.``.
        heads (Sequence[str], optional): Keys of ``model`` to search. Defaults
            to ``('decode_head', )``: the auxiliary heads keep their
            cross-entropy, as in the recipe of the paper.

    Returns:
        dict[str, str]: The old type of each replaced entry, by the path of
        the entry as ``--cfg-options`` writes it.

    Raises:
        ValueError: If the loss is not one of this package, or if the heads
            hold no cross-entropy over pixels (Mask2Former, MaskFormer, SAN,
            depth estimators).

    Examples:
        >>> cfg = Config(dict(model=dict(decode_head=[
        ...     dict(type='FCNHead', loss_decode=dict(
        ...         type='CrossEntropyLoss', loss_weight=0.4))])))
        >>> replace_pixel_loss(cfg, 'JaccardMetricLoss')
        {'model.decode_head.0.loss_decode': 'CrossEntropyLoss'}
        >>> cfg.model.decode_head[0].loss_decode
        {'type': 'mmseg_jml.JaccardMetricLoss', 'loss_weight': 0.4}
    """
    new_type = f'mmseg_jml.{_known_loss(loss)}'
    model = cfg.get('model') or {}
    found = [
        (path, entry)
        for head in heads
        for path, entry in loss_entries(model.get(head), f'model.{head}')
        if type_name(entry) in PIXEL_CROSS_ENTROPIES
    ]
    if not found:
        raise ValueError(_refusal(model, heads))
    replaced = {path: type_name(entry) for path, entry in found}
    for _, entry in found:
        entry['type'] = new_type
    return replaced


def has_own_loss(cfg: Config) -> bool:
    """Tell whether a head of a config's model has a loss of this package.

    Examples:
        >>> entry = dict(type='mmseg_jml.JaccardMetricLoss')
        >>> has_own_loss(Config(dict(model=dict(decode_head=[
        ...     dict(type='FCNHead', loss_decode=[entry])]))))
        True
    """
    entries = loss_entries(cfg.get('model'), 'model')
    return any(type_name(entry) in own_losses() for _, entry in entries)


def own_losses() -> list[str]:
    """List the losses of this package that learn from hard labels."""
    return [
        name for name in losses.__all__ if getattr(losses, name).takes_labels
    ]


def _known_loss(name: str) -> str:
    """Return the name without its prefix, or raise with the known names."""
    prefix, _, short = name.rpartition('.')
    known = own_losses()
    if prefix not in ('', 'mmseg_jml') or short not in known:
        near = difflib.get_close_matches(short, known, n=1)
        hint = f' Did you mean {near[0]}?' if near else ''
        raise ValueError(
            f'Expected the loss to be one of {", ".join(known)} but got '
            f'{name!r}.{hint}'
        )
    return short


def type_name(node: Mapping) -> str:
    """Return the class name of an entry whose type is a string or a class."""
    kind = node.get('type', '')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def children(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """List the entries directly inside a part of a config, by path."""
    if isinstance(node, dict):
        return ((f'{path}.{key}', child) for key, child in node.items())
    if isinstance(node, (list, tuple)):
        return ((f'{path}.{i}', child) for i, child in enumerate(node))
    return iter(())


def loss_entries(node: Any, path: str) -> Iterator[tuple[str, dict]]:
    """Find the ``loss_decode`` entries of all heads, by path."""
    if isinstance(node, dict) and _other_task(node):
        return
    for child_path, child in children(node, path):
        if not child_path.endswith('.loss_decode'):
            yield from loss_entries(child, child_path)
        elif isinstance(child, dict):
            yield child_path, child
        else:
            yield from children(child, child_path)


def _other_task(head: dict) -> str:
    """Say why a head has no loss over the classes of pixels; '' if it may."""
    facts = HEADS.get(type_name(head), HeadFacts())
    return '' if facts.has_pixel_loss else facts.not_dense


def _refusal(model: dict, heads: Sequence[str]) -> str:
    """Explain why no loss of the heads can be replaced."""
    reasons: list[str] = []
    for key in heads:
        found = model.get(key) or ()
        found = found if isinstance(found, (list, tuple)) else [found]
        reasons += (_describe(head, f'model.{key}') for head in found)
    return (
        'Expected a cross-entropy over pixels '
        f'({" or ".join(PIXEL_CROSS_ENTROPIES)}) in '
        f'{" or ".join(f"model.{key}" for key in heads)} but got '
        f'{"; ".join(reasons) or "no such head"}.'
    )


def _describe(head: dict, path: str) -> str:
    name = type_name(head)
    if _other_task(head):
        return f'{name}, which {_other_task(head)}'
    types = [type_name(entry) for _, entry in loss_entries(head, path)]
    return f'{name} with {", ".join(types) or "no loss_decode entry"}'
