"""All that this package knows of mmseg's segmentors and heads."""

from __future__ import annotations

from typing import NamedTuple

from mmengine.model import (
    BaseModel,
    BaseModule,
    BaseTTAModel,
    is_model_wrapper,
)
from torch import nn

__all__ = [
    'HEADS',
    'HeadFacts',
    'auxiliary_heads',
    'dense_heads',
    'facts_of',
    'is_main',
    'losses_of',
    'main_head',
    'named_heads',
    'outputs_to_teach',
    'predicting_head',
    'unwrapped',
    'uses_sigmoid',
]


class HeadFacts(NamedTuple):
    """How a head differs from one that classifies each pixel once.

    Attributes:
        not_dense (str): Why its losses do not get the logits of all pixels;
            empty if they do.
        has_pixel_loss (bool): Whether its ``loss_decode`` may hold a loss
            over the classes of pixels, such as that of single points.
        other_classes (bool): Whether ``num_classes`` counts something else
            than the classes of the data.
        main_output (int): Index, among the logits that its losses get in
            turn, of those that it predicts with; -1 is the last. PIDNet
            predicts with its second logits, so that it has 1.
        predicts_scores (bool): Whether it predicts sums of masks, weighted by
            class probabilities, in place of logits.
    """

    not_dense: str = ''
    has_pixel_loss: bool = True
    other_classes: bool = False
    main_output: int = 0
    predicts_scores: bool = False


def _other(reason: str, **facts: bool) -> HeadFacts:
    return HeadFacts(reason, has_pixel_loss=False, **facts)


_MASKS = _other(
    'classifies whole masks: loss_cls, loss_mask and loss_dice compare '
    'matched queries, and a loss_decode entry is ignored silently',
    predicts_scores=True,
)
# The heads of mmseg that differ. The facts hold for their subclasses too.
HEADS = {
    'IterativeDecodeHead': HeadFacts(main_output=-1),
    'Mask2FormerHead': _MASKS,
    'MaskFormerHead': _MASKS,
    'PIDHead': HeadFacts(main_output=1),
    'PointHead': HeadFacts('predicts single points'),
    'SideAdapterCLIPHead': _other(
        'classifies whole masks: the losses of its loss_decode compare '
        'matched queries',
        predicts_scores=True,
    ),
    'STDCHead': _other(
        'finds the borders between classes', other_classes=True
    ),
    'VPDDepthHead': _other('regresses depth', other_classes=True),
}
# Losses whose use_sigmoid tells how the head predicts, and one whose default
# is True whatever the head does.
_CROSS_ENTROPIES = {
    'CrossEntropyLoss',
    'OhemCrossEntropy',
    'JaccardMetricCELoss',
}
_UNRELIABLE = {'DiceLoss'}


def facts_of(head: nn.Module) -> HeadFacts:
    """Return the facts of a head, from its class or one of its bases."""
    names = (base.__name__ for base in type(head).__mro__)
    return next((HEADS[name] for name in names if name in HEADS), HeadFacts())


def unwrapped(model: BaseModel) -> BaseModel:
    """Take a segmentor out of its wrappers.

    Args:
        model (BaseModel): A segmentor, perhaps in a wrapper for distributed
            training, for test-time augmentation, or in both.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def named_heads(segmentor: BaseModel) -> dict[str, BaseModule]:
    """List the heads of a segmentor by the names that they have in the log."""
    heads: dict[str, BaseModule] = {}
    for name, key in (('decode', 'decode_head'), ('aux', 'auxiliary_head')):
        head = getattr(segmentor, key, None)
        if isinstance(head, nn.ModuleList):
            heads.update((f'{name}_{i}', part) for i, part in enumerate(head))
        elif head is not None:
            heads[name] = head
    return heads


def dense_heads(segmentor: BaseModel) -> dict[str, BaseModule]:
    """List the heads that hand the logits of all pixels to their loss."""
    return {
        name: head
        for name, head in named_heads(segmentor).items()
        if not _why_not_dense(head)
    }


def main_head(segmentor: BaseModel) -> str:
    """Name the last main head that classifies all pixels.

    Returns:
        str: ``decode`` or, in a cascade, ``decode_0``, ``decode_1`` ...

    Raises:
        ValueError: If there is none; the message has the reason.
    """
    names = [name for name in dense_heads(segmentor) if is_main(name)]
    if names:
        return names[-1]
    reasons = [
        f'{type(head).__name__}, which {_why_not_dense(head)}'
        for name, head in named_heads(segmentor).items()
        if is_main(name)
    ]
    raise ValueError(
        'Expected a decode head that hands the logits of all pixels to its '
        f'loss_decode but got {"; ".join(reasons) or "no decode head"}.'
    )


def auxiliary_heads(segmentor: BaseModel) -> dict[str, BaseModule]:
    """List the dense auxiliary heads with the classes of the segmentor."""
    return {
        name: head
        for name, head in dense_heads(segmentor).items()
        if not is_main(name) and head.num_classes == segmentor.num_classes
    }


def outputs_to_teach(segmentor: BaseModel) -> list[str]:
    """Name the main output and the auxiliary heads that can learn with it."""
    return [main_head(segmentor), *auxiliary_heads(segmentor)]


def predicting_head(segmentor: BaseModel) -> BaseModule:
    """Return the head that predicts: in a cascade the last main one."""
    head = segmentor.decode_head
    return head[-1] if isinstance(head, nn.ModuleList) else head


def is_main(name: str) -> bool:
    """Tell whether an output of this name belongs to a main head."""
    return name.startswith('decode')


def uses_sigmoid(head: nn.Module) -> bool:
    """Tell whether each class of a head has a sigmoid of its own.

    This is the ``use_sigmoid`` of a cross-entropy in ``loss_decode``, wherever
    it stands in a list; without one, that of the first loss. mmseg's DiceLoss
    is asked last: its default is True even beside a softmax.
    """
    losses = sorted(losses_of(head), key=_unreliability)
    said = bool(losses) and getattr(losses[0], 'use_sigmoid', False)
    return said or getattr(head, 'out_channels', None) == 1


def _unreliability(loss: nn.Module) -> int:
    names = {base.__name__ for base in type(loss).__mro__}
    if names & _CROSS_ENTROPIES:
        return 0
    return 2 if names & _UNRELIABLE else 1


def losses_of(head: nn.Module) -> list[nn.Module]:
    """List the losses of a head and of the heads inside it."""
    found = []
    for name, module in head.named_modules():
        if name.rpartition('.')[2] == 'loss_decode':
            is_list = isinstance(module, nn.ModuleList)
            found += list(module) if is_list else [module]
    return found


def _why_not_dense(head: nn.Module) -> str:
    reason = facts_of(head).not_dense
    return reason or ('' if losses_of(head) else 'has no loss_decode')
