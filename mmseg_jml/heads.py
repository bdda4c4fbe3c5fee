"""What has to be known of mmseg's segmentors and heads."""

from __future__ import annotations

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

__all__ = [
    'OTHER_TASKS',
    'auxiliary_heads',
    'dense_heads',
    'is_main',
    'losses_of',
    'main_head',
    'main_output',
    'named_heads',
    'predicts_scores',
    'unwrapped',
    'uses_sigmoid',
]

_MASKS = (
    'classifies whole masks: loss_cls, loss_mask and loss_dice compare '
    'matched queries, and a loss_decode entry is ignored silently'
)
# Heads that hold no loss over the classes of pixels, whatever its type says.
OTHER_TASKS = {
    'MaskFormerHead': _MASKS,
    'Mask2FormerHead': _MASKS,
    'SideAdapterCLIPHead': 'classifies whole masks: the losses of its '
    'loss_decode compare matched queries',
    'VPDDepthHead': 'regresses depth',
    'STDCHead': 'finds the borders between classes',
}
_POINTS = 'PointHead', 'predicts single points'
# Heads whose prediction is not what they hand to their losses first.
_MAIN_OUTPUT = {'PIDHead': 1, 'IterativeDecodeHead': -1}
# Their prediction is a sum of masks weighted by class probabilities.
_QUERY_HEADS = {'MaskFormerHead', 'Mask2FormerHead', 'SideAdapterCLIPHead'}
# Losses whose use_sigmoid says how the head predicts, and one whose default
# says sigmoid beside any other loss.
_CROSS_ENTROPIES = {
    'CrossEntropyLoss',
    'OhemCrossEntropy',
    'JaccardMetricCELoss',
}
_UNRELIABLE = {'DiceLoss'}


def unwrapped(model: nn.Module) -> nn.Module:
    """Takes a segmentor out of what runs it.

    Args:
        model (nn.Module): A segmentor, perhaps in a wrapper for distributed
            training, for test-time augmentation, or in both.

    Returns:
        nn.Module: The segmentor.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def named_heads(segmentor: nn.Module) -> dict[str, nn.Module]:
    """The heads of a segmentor by the names that they have in the log.

    Args:
        segmentor (nn.Module): A segmentor.

    Returns:
        dict[str, nn.Module]: Main heads, then auxiliary heads.
    """
    heads = {}
    for name, key in (('decode', 'decode_head'), ('aux', 'auxiliary_head')):
        head = getattr(segmentor, key, None)
        if isinstance(head, nn.ModuleList):
            heads.update((f'{name}_{i}', part) for i, part in enumerate(head))
        elif head is not None:
            heads[name] = head
    return heads


def dense_heads(segmentor: nn.Module) -> dict[str, nn.Module]:
    """The heads that classify pixels and hand all of them to their loss.

    Args:
        segmentor (nn.Module): A segmentor.

    Returns:
        dict[str, nn.Module]: A part of :func:`named_heads`.
    """
    return {
        name: head
        for name, head in named_heads(segmentor).items()
        if _why_not_dense(head) is None
    }


def main_head(segmentor: nn.Module) -> str:
    """The name of the last main head that classifies all pixels.

    Args:
        segmentor (nn.Module): A segmentor.

    Returns:
        str: ``decode`` or, in a cascade, ``decode_0``, ``decode_1`` ...

    Raises:
        ValueError: If there is none, with the reason.
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


def auxiliary_heads(segmentor: nn.Module) -> dict[str, nn.Module]:
    """The auxiliary heads that tell the same classes apart for all pixels.

    Args:
        segmentor (nn.Module): A segmentor.

    Returns:
        dict[str, nn.Module]: A part of :func:`named_heads`.
    """
    return {
        name: head
        for name, head in dense_heads(segmentor).items()
        if not is_main(name) and head.num_classes == segmentor.num_classes
    }


def is_main(name: str) -> bool:
    """Whether an output of this name belongs to a main head."""
    return name.startswith('decode')


def uses_sigmoid(head: nn.Module) -> bool:
    """Whether the classes of a head's logits are not exclusive.

    A cross-entropy in ``loss_decode`` tells, wherever it stands in a list;
    without one the first entry does. What mmseg's DiceLoss says comes last:
    its default is ``use_sigmoid=True``, beside a softmax too.

    Args:
        head (nn.Module): A decode head.
    """
    losses = sorted(losses_of(head), key=_unreliability)
    said = bool(losses) and getattr(losses[0], 'use_sigmoid', False)
    return said or getattr(head, 'out_channels', None) == 1


def _unreliability(loss: nn.Module) -> int:
    names = {base.__name__ for base in type(loss).__mro__}
    if names & _CROSS_ENTROPIES:
        return 0
    return 2 if names & _UNRELIABLE else 1


def predicts_scores(head: nn.Module) -> bool:
    """Whether a head predicts sums of masks, not logits.

    Args:
        head (nn.Module): A decode head.
    """
    return bool({base.__name__ for base in type(head).__mro__} & _QUERY_HEADS)


def losses_of(head: nn.Module) -> list[nn.Module]:
    """The modules under ``loss_decode``, in the head or in one inside it."""
    found = []
    for name, module in head.named_modules():
        if name.rpartition('.')[2] == 'loss_decode':
            is_list = isinstance(module, nn.ModuleList)
            found += list(module) if is_list else [module]
    return found


def _why_not_dense(head: nn.Module) -> str | None:
    classes = {base.__name__ for base in type(head).__mro__}
    for name, reason in (*OTHER_TASKS.items(), _POINTS):
        if name in classes:
            return reason
    return None if losses_of(head) else 'has no loss_decode'


def main_output(head: nn.Module) -> int:
    """The place of what a head predicts with among what its losses get.

    Args:
        head (nn.Module): A decode head.

    Returns:
        int: An index, which may count from the end.
    """
    for base in type(head).__mro__:
        if base.__name__ in _MAIN_OUTPUT:
            return _MAIN_OUTPUT[base.__name__]
    return 0
