"""Losses against soft targets, and their terms in the log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Union

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..heads import dense_heads, is_main, uses_sigmoid
from ..losses.loss_entry import takes_small_logits
from .lesson import SoftTarget, StudentOutput

__all__ = ['LossEntry', 'SoftLosses', 'SupervisedLosses']

LossEntry = Union[dict, 'Sequence[dict]']
# The recipe of the paper; 0.4 is what stock configs give to auxiliary heads.
MAIN_LOSS = dict(type='mmseg_jml.JaccardMetricCELoss')
AUXILIARY_LOSS = dict(
    type='mmseg_jml.JaccardMetricCELoss',
    ce_weight=1.0,
    jml_weight=0.0,
    loss_weight=0.4,
    loss_name='loss_ce',
)


class SoftLosses:
    """Build and compute the losses of student outputs against soft labels.

    ``main`` and ``auxiliary`` are the options ``loss`` and ``auxiliary_loss``
    of :class:`SoftSupervision`. ``source`` is part of the names of terms, such
    as 'kd' in ``decode.loss_kd_jml_ce``.

    Raises:
        ValueError: If an output belongs to no head with dense logits, a
            loss takes no soft targets, or none of the outputs has a loss.
    """

    def __init__(
        self,
        segmentor: nn.Module,
        names: Sequence[str],
        main: LossEntry | None,
        auxiliary: LossEntry | None,
        source: str,
    ) -> None:
        self._source = source
        heads = dense_heads(segmentor)
        device = next(segmentor.parameters()).device
        main_entry = MAIN_LOSS if main is None else main
        other_entry = AUXILIARY_LOSS if auxiliary is None else auxiliary
        self._losses: dict[str, nn.ModuleList] = {}
        for name in names:
            head = name.partition('.')[0]
            if head not in heads:
                raise ValueError(
                    f'Expected an output of {", ".join(heads)} to learn from '
                    f'soft labels but got {name!r}.'
                )
            entry = main_entry if is_main(head) else other_entry
            parts = [entry] if isinstance(entry, Mapping) else entry
            if parts:
                self._losses[name] = nn.ModuleList(
                    _build(part, uses_sigmoid(heads[head])) for part in parts
                ).to(device)
        if names and not self._losses:
            raise ValueError(
                f'Expected a loss for one of the outputs {", ".join(names)} '
                f'but got loss={main!r} and auxiliary_loss={auxiliary!r}. A '
                'weight of 0 turns the hook off.'
            )

    @property
    def names(self) -> list[str]:
        """Names of the outputs that have a loss."""
        return list(self._losses)

    @property
    def full_size(self) -> list[str]:
        """Names of the outputs whose losses need logits of label size."""
        return [
            name
            for name, losses in self._losses.items()
            if not all(takes_small_logits(loss) for loss in losses)
        ]

    def terms(
        self, name: str, output: StudentOutput, soft: SoftTarget, factor: float
    ) -> dict[str, Tensor]:
        """Compute the losses of an output against its target.

        Each is multiplied by ``factor``, and has the name that it gets in the
        log.
        """
        logits, options = output.logits, {}
        if output.is_small:
            options['align_corners'] = output.align_corners
        temperature = getattr(soft.target, 'temperature', 1.0)
        if temperature != 1:
            # a division in half precision would lose digits
            dtype = torch.promote_types(logits.dtype, torch.float32)
            logits = logits.to(dtype) / temperature
        scale = factor * soft.share
        terms: dict[str, Tensor] = {}
        for loss in self._losses[name]:
            value = loss(logits, soft.target, weight=soft.weight, **options)
            value = value * scale
            short = re.sub('^loss_', '', str(loss.loss_name))
            key = f'{name}.loss_{self._source}_{short}'
            terms[key] = terms[key] + value if key in terms else value
        return terms


def _build(entry: dict, use_sigmoid: bool) -> nn.Module:
    entry = dict(entry)
    if use_sigmoid:
        entry.setdefault('use_sigmoid', True)
    loss = MODELS.build(entry)
    if type(loss).__module__.startswith('mmseg.'):
        raise ValueError(
            'Expected a loss that takes soft targets, such as '
            'mmseg_jml.JaccardMetricCELoss or mmseg_jml.KLDivergenceLoss, but '
            f'got {entry["type"]!r}, which takes labels.'
        )
    return loss


class SupervisedLosses(dict):
    """The losses of a segmentor, and terms that hooks add to them.

    One hook hands it to the next. It remembers which losses the segmentor
    itself computed against labels, whatever their names are.

    Args:
        losses (dict): What the segmentor or another hook returns.

    Examples:
        >>> losses = SupervisedLosses({'decode.loss_ce': 1.0})
        >>> losses.add({'decode.loss_kd_jml_ce': 4.0})
        >>> losses.weigh_labels(0.5)
        >>> losses
        {'decode.loss_ce': 0.5, 'decode.loss_kd_jml_ce': 4.0}
    """

    def __init__(self, losses: dict) -> None:
        super().__init__(losses)
        self._own = getattr(losses, '_own', frozenset(losses))

    def weigh_labels(self, factor: float) -> None:
        """Multiply the segmentor's own losses, and no others."""
        if factor == 1:
            return
        for name in self._own:
            if 'loss' in name:
                value = self[name]
                is_list = isinstance(value, list)
                self[name] = (
                    [factor * part for part in value]
                    if is_list
                    else factor * value
                )

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add the terms of a hook; raise a ValueError if a name is taken."""
        for name, value in terms.items():
            if name in self:
                raise ValueError(
                    f'Expected names of their own for all losses but got '
                    f'{name!r} twice: give the entry of loss_decode, or that '
                    'of the hook, another loss_name.'
                )
            self[name] = value
