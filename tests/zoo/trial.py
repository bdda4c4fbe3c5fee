"""One training step of a stock config on a small synthetic batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_jml.config import replace_pixel_loss
from mmseg_jml.head_resolution import losses

from .catalog import as_list, family, read

# LRASPPHead pools windows of 49 x 49 at an eighth of the resolution.
SIDES = {'mobilenet_v3': 416}


@dataclass
class Call:
    """What a head handed to a replaced loss, and what it got back."""

    logits: Tensor
    label: Tensor
    options: dict
    value: Tensor
    gradient: Tensor | None  # of the value, in the logits

    def __str__(self) -> str:
        """Writes the arguments down: shapes by letters, tensors as 'map'."""
        words = ['NCHW' if self.logits.ndim == 4 else 'NCP']
        for key, value in sorted(self.options.items()):
            words.append(f'{key}={"map" if torch.is_tensor(value) else value}')
        return ' '.join(words)


@dataclass
class Trial:
    """What one training step showed; the keys are paths of loss entries."""

    entries: dict[str, dict]
    calls: dict[str, list[Call]] = field(default_factory=dict)
    log: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)
    # why each head needs logits of the label's size; None: it does not
    reasons: dict[str, str | None] = field(default_factory=dict)

    def of_head(self, path: str) -> list[Tensor]:
        """The gradients of the head that has a loss entry."""
        head = path.removeprefix('model.').partition('loss_decode')[0]
        return [g for name, g in self.gradients.items() if head in name]


def run(
    name: str,
    loss: str | None,
    heads: tuple[str, ...] = ('decode_head',),
    at_head_resolution: bool = False,
) -> Trial:
    """Builds a stock config and takes one step, with a loss in some heads.

    None leaves the stock losses. At the heads' resolution no calls are kept.
    """
    torch.manual_seed(0)
    cfg = read(name)
    paths = replace_pixel_loss(cfg, loss, heads) if loss else ()
    trial = Trial({path: _follow(cfg, path) for path in paths})
    side = SIDES.get(family(name), 64)
    shrink(cfg, side)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if at_head_resolution:
        for path, head in losses.heads_with_losses(model).items():
            trial.reasons[path] = losses.why_full_resolution(head)
            if trial.reasons[path] is None:
                losses.at_head_resolution(head)
        paths = ()
    for path in paths:
        calls = trial.calls[path] = []
        _follow(model, path).register_forward_hook(
            partial(_record, calls), with_kwargs=True
        )
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before_steps(optimizer, partial(_keep_gradients, trial, model))
    log = model.train().train_step(batch(cfg, side), OptimWrapper(optimizer))
    trial.log = {key: value.item() for key, value in log.items()}
    return trial


def before_steps(optimizer, action: Callable[[], object]) -> None:
    """Calls a function before each step of an optimizer.

    A hook of the optimizer would not run where torch 2.1 compiles.
    """
    step = optimizer.step

    def act_and_step(*args, **kwargs):
        action()
        return step(*args, **kwargs)

    optimizer.step = act_and_step


def shrink(cfg: Config, side: int) -> None:
    """Makes input and samplers small, and forgets pretrained weights."""
    _forget_pretrained(cfg.model)
    cfg.model.data_preprocessor.size = (side, side)
    if 'img_size' in cfg.model.backbone:
        cfg.model.backbone.img_size = (side, side)
    for key in ('decode_head', 'auxiliary_head'):
        for head in as_list(cfg.model.get(key)):
            if 'sampler' in head:  # per image; half of the pixels stay out
                head.sampler.min_kept = side * side // 2


def batch(cfg: Config, side: int) -> dict:
    """Makes two images with blocks of random classes and ignored rows."""
    head = as_list(cfg.model.decode_head)[-1]
    classes = head.get('kernel_generate_head', head)['num_classes']
    channels = len(cfg.model.data_preprocessor.get('mean') or 'RGB')
    random = torch.Generator().manual_seed(0)
    data = dict(inputs=[], data_samples=[])
    for _ in range(2):
        size = 1, side // 8, side // 8
        blocks = torch.randint(classes, size, generator=random)
        label = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
        label[:, :4] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=label))
        sample.gt_edge_map = PixelData(data=(label % 5 == 0).long())
        data['data_samples'].append(sample)
        size = channels, side, side
        data['inputs'].append(torch.randint(256, size, generator=random))
    return data


def _forget_pretrained(node) -> None:
    for key, child in node.items() if isinstance(node, dict) else ():
        is_named = key == 'init_cfg' and 'Pretrained' in str(child)
        if is_named or key == 'pretrained':
            node[key] = None
        for part in as_list(child):
            _forget_pretrained(part)


def _follow(root, path: str):
    """Returns what a path such as ``model.decode_head.0`` leads to."""
    for name in path.split('.')[isinstance(root, torch.nn.Module) :]:
        root = root[int(name)] if name.isdigit() else getattr(root, name)
    return root


def _record(calls: list[Call], loss, args, kwargs, value) -> None:
    logits, label = args
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, logits, retain_graph=True)
    seen = logits.detach(), label, kwargs, value.detach(), gradient
    calls.append(Call(*seen))


def _keep_gradients(trial: Trial, model) -> None:
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            trial.gradients[name] = parameter.grad.clone()
