"""A student of seconds, and teachers for it on disk."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS, DefaultScope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS
from torch import nn
from torch.utils.data import DataLoader

from mmseg_jml.heads import named_heads
from mmseg_jml.supervision.soft_supervision import SoftSupervision
from tests.tiny_run import CLASSES, tiny_config, write_images
from tests.zoo import trial

KD = 'mmseg_jml.DistillationHook'
# All that can be at once.
OPTIONS = dict(
    temperature=dict(type='linear', start=4.0, stop=1.0),
    loss=[
        dict(type='mmseg_jml.JaccardMetricCELoss'),
        dict(type='mmseg_jml.ChannelWiseDivergenceLoss', loss_weight=3.0),
    ],
    features=[
        dict(
            student='backbone.decoder.1',
            teacher='backbone.decoder.0',  # of another size
            measure='attention',
            loss_weight=2.0,
        ),
        dict(
            student='decode_head.conv_seg',
            teacher='decode_head.conv_seg',
            measure='channel',
        ),
    ],
)
# Neither the student's mean and deviation, nor its order of channels.
OTHER_COLOURS = dict(
    mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0], bgr_to_rgb=True
)


def student_config(folder: Path, work_dir: Path) -> Config:
    """Builds a run of three steps with an auxiliary head."""
    if not (folder / 'images').exists():
        write_images(folder)
    cfg = tiny_config(folder, work_dir)
    cfg.runner_type = 'Runner'
    cfg.train_cfg.max_iters = 3
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=3
    )
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9)
    )
    head = dict(copy.deepcopy(cfg.model.decode_head), in_index=1)
    cfg.model.auxiliary_head = dict(
        head,
        in_channels=8,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4),
    )
    return cfg


def with_validation(cfg: Config) -> Config:
    """Adds the validation of a tiny run to that of a student."""
    cfg = copy.deepcopy(cfg)
    tiny = tiny_config(cfg.train_dataloader.dataset.data_root, cfg.work_dir)
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        cfg[key] = tiny[key]
    cfg.train_cfg.val_interval = 1000
    return cfg


def build(model: dict) -> nn.Module:
    """Builds a model as a run does, on its device."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(copy.deepcopy(model)).to(get_device())


def write_teacher(
    folder: Path, model: dict, seed: int = 1, classes=CLASSES
) -> dict:
    """Writes a config and random weights; returns the hook's arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = dict(
        teacher=str(folder / f'teacher{seed}.py'),
        checkpoint=str(folder / f'teacher{seed}.pth'),
    )
    Config(dict(model=model)).dump(paths['teacher'])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        teacher = build(model).cpu()
        for module in teacher.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
        for head in named_heads(teacher).values():
            head.conv_seg.weight.data *= 5  # certain of something
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(
        dict(state_dict=teacher.state_dict(), meta=meta), paths['checkpoint']
    )
    return paths


def wider(model: dict, **preprocessor) -> dict:
    """Another architecture of the same classes."""
    model = copy.deepcopy(model)
    model.backbone.base_channels = 6
    model.decode_head.in_channels = 6
    model.auxiliary_head.in_channels = 12
    model.data_preprocessor.update(preprocessor)
    return model


class Record(Hook):
    """Keeps batches, gradients and logged terms of each step."""

    def __init__(self) -> None:
        self.batches, self.gradients, self.logs = [], [], []

    def before_train(self, runner):
        self.start = copy.deepcopy(runner.model.state_dict())
        self.runner, self.model = runner, runner.model
        runner.optim_wrapper.optimizer.register_step_pre_hook(self._keep)

    def _keep(self, *step):
        self.gradients.append(
            {
                name: parameter.grad.clone()
                for name, parameter in self.model.named_parameters()
                if parameter.grad is not None
            }
        )

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append(copy.deepcopy(data_batch))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=0):
        self.logs.append({k: v.item() for k, v in outputs.items()})


class Lessons(Hook):
    """Keeps what the hooks of this package teach."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.found = []
        for hook in runner.hooks:
            if isinstance(hook, SoftSupervision):
                hook.listeners.append(self.found.append)


def train(cfg: Config, *hooks: dict | Hook) -> Record:
    """Trains with some hooks beside those of the config."""
    cfg = copy.deepcopy(cfg)
    cfg.experiment_name = str(torch.rand(()).item())
    cfg.custom_hooks += [hook for hook in hooks if isinstance(hook, dict)]
    runner, record = RUNNERS.get(cfg.runner_type).from_cfg(cfg), Record()
    for hook in (*hooks, record):
        if isinstance(hook, Hook):
            runner.register_hook(hook)
    runner.train()
    return record


def step(cfg: Config, side: int, hook: dict, folder: Path) -> Record:
    """Takes one step of a stock config on random images."""
    data = trial.batch(cfg, side)
    images = [
        dict(inputs=inputs, data_samples=sample)
        for inputs, sample in zip(data['inputs'], data['data_samples'])
    ]
    runner = Runner(
        cfg.model,
        str(folder),
        train_dataloader=DataLoader(images, 2, collate_fn=pseudo_collate),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
        custom_hooks=[hook],
        default_hooks=dict(checkpoint=None),
        default_scope='mmseg',
        experiment_name=folder.name,
    )
    record = Record()
    runner.register_hook(record)
    runner.train()
    return record


def load(path: str) -> dict:
    """Reads a checkpoint as a run does."""
    return CheckpointLoader.load_checkpoint(path, 'cpu')


def assert_same(first: dict, second: dict) -> None:
    """Compares dictionaries of tensors bit by bit, wherever they are."""
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value.cpu(), second[name].cpu()), name


def forward(model, inputs):
    """Main and auxiliary logits at the size of the images."""
    features = model.backbone(inputs)
    return [
        F.interpolate(head(features), inputs.shape[2:], mode='bilinear')
        for head in (model.decode_head, model.auxiliary_head)
    ]


def read_teacher(paths):
    """Builds a teacher from its files, without the hook."""
    model = build(Config.fromfile(paths['teacher']).model)
    state = torch.load(paths['checkpoint'], weights_only=True)['state_dict']
    model.load_state_dict(state)
    return model.eval()
