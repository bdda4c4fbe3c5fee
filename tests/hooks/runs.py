"""A student of seconds, and teachers for it on disk."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS, DefaultScope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS, OPTIM_WRAPPERS
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics.functional import jaccard_index

from mmseg_jml.heads import named_heads
from mmseg_jml.supervision.soft_supervision import SoftSupervision
from tests.tiny_run import CLASSES, tiny_config, write_images
from tests.zoo import trial

KD = 'mmseg_jml.DistillationHook'
HEAD_RESOLUTION = dict(type='mmseg_jml.HeadResolutionHook')
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
PACK = dict(type='PackSegInputs')
ATTENTION = dict(
    student='backbone.decoder.1',
    teacher='backbone.decoder.0',  # of another size
    measure='attention',
    loss_weight=2.0,
)
CONV_SEG = 'decode_head.conv_seg'
CHANNEL = dict(student=CONV_SEG, teacher=CONV_SEG, measure='channel')
# All that can be at once.
LOSSES = [
    dict(type='mmseg_jml.JaccardMetricCELoss'),
    dict(type='mmseg_jml.ChannelWiseDivergenceLoss', loss_weight=3.0),
]
FALLING = dict(type='linear', start=4.0, stop=1.0)
OPTIONS = dict(temperature=FALLING, loss=LOSSES, features=[ATTENTION, CHANNEL])
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
    cfg.default_hooks.checkpoint.update(interval=3, save_best=None)
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.1, momentum=0.9)
    auxiliary = copy.deepcopy(cfg.model.decode_head)
    auxiliary.update(in_index=1, in_channels=8)
    auxiliary.loss_decode = dict(type='CrossEntropyLoss', loss_weight=0.4)
    cfg.model.auxiliary_head = auxiliary
    return cfg


def set_heads(model: dict, **options) -> None:
    """Sets options of the main head and the auxiliary one."""
    for head in (model.decode_head, model.auxiliary_head):
        for name, value in options.items():
            head[name] = copy.deepcopy(value)


def without_chance(cfg: Config) -> None:
    """Takes dropout and the schedule out of a run."""
    set_heads(cfg.model, dropout_ratio=0.0)
    cfg.param_scheduler = []


def with_evaluation(cfg: Config) -> Config:
    """Adds the validation of a tiny run, and a test like it."""
    cfg = copy.deepcopy(cfg)
    tiny = tiny_config(cfg.train_dataloader.dataset.data_root, cfg.work_dir)
    for key in ('dataloader', 'evaluator', 'cfg'):
        cfg[f'val_{key}'] = tiny[f'val_{key}']
        cfg[f'test_{key}'] = copy.deepcopy(tiny[f'val_{key}'])
    cfg.test_cfg.type = 'TestLoop'
    cfg.train_cfg.val_interval = 1000
    return cfg


ROW, COLUMN = np.ogrid[:48, :48]  # of a mask


def change_masks(folder: Path, change) -> None:
    """Writes what a function makes of each mask of the labelled images."""
    for path in (folder / 'masks').glob('*.png'):
        mask = change(np.array(Image.open(path)))
        Image.fromarray(mask.astype(np.uint8)).save(path)


QUICK = ['accumulation', 'AMP', 'with_cp', 'EMAHook', 'FlexibleRunner']
KINDS = ['compile', *QUICK]

# mmengine's, and what torch says of its own compiler and of checkpointing
quiet = [
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
    pytest.mark.filterwarnings(
        'ignore:.*(use_reentrant|non-leaf|\\.grad attrib|None of the inputs)'
    ),
]


@OPTIM_WRAPPERS.register_module()
class BFloat16Wrapper(OptimWrapper):
    """AmpOptimWrapper, which refuses to run on a CPU."""

    @contextmanager
    def optim_context(self, model):
        with torch.autocast(get_device(), torch.bfloat16):
            yield


def set_up(cfg: Config, kind: str) -> None:
    """Sets a run up in one of these ways."""
    if kind == 'accumulation':
        cfg.optim_wrapper.accumulative_counts = 2
    elif kind == 'AMP':
        cfg.optim_wrapper.type = 'BFloat16Wrapper'
    elif kind == 'compile':
        # what it compiled for an earlier test knows nothing of new hooks
        torch._dynamo.reset()
        cfg.compile = dict(backend='eager')
    elif kind == 'with_cp':
        cfg.model.backbone.with_cp = True
    elif kind == 'EMAHook':
        cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    elif kind == 'FlexibleRunner':
        cfg.runner_type = kind
        cfg.env_cfg = dict(dist_cfg=dict(backend='gloo'))


def build(model: dict) -> nn.Module:
    """Builds a model as a run does, on its device."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(copy.deepcopy(model)).to(get_device())


def write_teacher(
    folder: Path, model: dict, seed: int = 1, classes=CLASSES
) -> dict:
    """Writes a config and random weights; returns the hook's arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f'teacher{seed}'
    paths = dict(teacher=f'{stem}.py', checkpoint=f'{stem}.pth')
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
    content = dict(state_dict=teacher.state_dict(), meta=meta)
    torch.save(content, paths['checkpoint'])
    return paths


def several(*paths: dict) -> dict:
    """The hook's arguments for an ensemble."""
    return {key: [one[key] for one in paths] for key in paths[0]}


def change_checkpoint(paths: dict, **content) -> None:
    """Changes what the checkpoint of a teacher holds."""
    checkpoint = torch.load(paths['checkpoint'], weights_only=True)
    torch.save({**checkpoint, **content}, paths['checkpoint'])


def weights_of(paths: dict) -> dict:
    return torch.load(paths['checkpoint'], weights_only=True)['state_dict']


def distil(paths: dict, **options) -> dict:
    """A hook that learns from the teacher in these files."""
    return dict(type=KD, **paths, **options)


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
        trial.before_steps(runner.optim_wrapper.optimizer, self._keep)

    def _keep(self):
        pairs = ((k, p.grad) for k, p in self.model.named_parameters())
        found = {k: grad.clone() for k, grad in pairs if grad is not None}
        self.gradients.append(found)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append(copy.deepcopy(data_batch))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=0):
        self.logs.append({k: v.item() for k, v in outputs.items()})

    def scalars(self, name: str) -> list[float]:
        """What the run logged under a name beside its losses, in order."""
        scalars = self.runner.message_hub.get_scalar(f'train/{name}')
        return scalars.data[0].tolist()


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


def refuse(cfg: Config, match: str, hook: dict, error=ValueError) -> None:
    """Trains; the run stops with an error that its log explains."""
    with pytest.raises(error, match=match) as caught:
        train(cfg, hook)
    name = hook['type'].partition('.')[2]
    assert f'{name} stops the run. {caught.value}' in log_text(cfg)


def log_text(cfg: Config) -> str:
    """What the runs in a folder have logged."""
    return ''.join(p.read_text() for p in Path(cfg.work_dir).glob('*/*.log'))


def step(cfg: Config, side: int, hook: dict, folder: Path) -> Record:
    """Takes one step of a stock config on random images."""
    data = trial.batch(cfg, side)
    rows = zip(data['inputs'], data['data_samples'])
    images = [dict(inputs=image, data_samples=s) for image, s in rows]
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


def assert_same_run(first: Record, second: Record) -> None:
    """Compares all losses, and the weights in the end, bit by bit."""
    assert first.logs == second.logs
    assert_same(first.model.state_dict(), second.model.state_dict())


def assert_gradients(found: dict, model: nn.Module, **tolerance) -> None:
    """Compares gradients of a step with those of a model."""
    for name, parameter in model.named_parameters():
        nothing = torch.zeros_like(parameter)
        expected = nothing if parameter.grad is None else parameter.grad
        gradient = found.get(name, nothing)
        torch.testing.assert_close(gradient, expected, **tolerance)


def assert_summed(log: dict) -> set[str]:
    """The loss is the sum of its terms; returns their names."""
    terms = {name for name in log if 'loss' in name and name != 'loss'}
    assert log['loss'] == pytest.approx(sum(log[name] for name in terms))
    return terms


def forward(model, inputs):
    """Main and auxiliary logits at the size of the images."""
    features = model.backbone(inputs)
    return [
        F.interpolate(head(features), inputs.shape[2:], mode='bilinear')
        for head in (model.decode_head, model.auxiliary_head)
    ]


@torch.no_grad()
def answer(model, inputs):
    """Main logits of a model in evaluation."""
    return forward(model.eval(), inputs)[0]


def started(cfg: Config, record: Record) -> nn.Module:
    """The student before the first step, in training."""
    student = build(cfg.model).train()
    student.load_state_dict(record.start)
    return student


def prepared(model: nn.Module, batch: dict) -> tuple[Tensor, Tensor]:
    """Images and labels of a batch, as a model gets them."""
    data = model.data_preprocessor(batch, training=True)
    label = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
    return data['inputs'], label


def read_teacher(paths: dict) -> nn.Module:
    """Builds a teacher from its files, without the hook."""
    model = build(Config.fromfile(paths['teacher']).model)
    model.load_state_dict(weights_of(paths))
    return model.eval()


def miou(found: Tensor, label: Tensor, classes: int = 3) -> float:
    """That of torchmetrics over the labelled pixels, in percent."""
    pairs = (x.flatten()[(label < classes).flatten()] for x in (found, label))
    options = dict(num_classes=classes, average='macro')
    return 100 * float(jaccard_index(*pairs, 'multiclass', **options))


def other_colours(images: Tensor) -> Tensor:
    """What a teacher of OTHER_COLOURS sees of a student's images."""
    mean, std = (
        torch.tensor(OTHER_COLOURS[key]).view(3, 1, 1).to(images)
        for key in ('mean', 'std')
    )
    return ((images * 64 + 128).flip(1) - mean) / std
