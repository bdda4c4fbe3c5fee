"""Unlabelled images, runs that learn from them, and the sums by hand."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from PIL import Image
from torch import Tensor

from mmseg_jml.hooks import PseudoLabelHook
from tests.tiny_run import CLASSES

from .runs import Lessons, Record, set_heads, train

PSEUDO = 'mmseg_jml.PseudoLabelHook'
THRESHOLD = 0.6  # some pixels of a student that is `certain`
EVERY = dict(  # option that was not always there
    views=2,
    feature_dropout=0.5,
    cutmix_from='labelled',
    threshold=dict(type='adaptive', start=THRESHOLD, momentum=0.9),
    warm_up=1,
)
PLAIN = dict(distortions=[], cutmix=0.0)  # the strong view is the weak one


def write_pictures(folder: Path, size=(48, 48), number: int = 7) -> Path:
    """Writes images of coloured blocks, which have no labels."""
    numbers = np.random.default_rng(1)
    folder.mkdir(parents=True)
    for i in range(number):
        shape = (-(-size[0] // 8), -(-size[1] // 8), 3)
        blocks = numbers.integers(0, 256, shape, dtype=np.uint8)
        pixels = blocks.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]]
        Image.fromarray(pixels).save(folder / f'u{i}.png')
    return folder


def unlabeled(folder: Path, *pipeline: dict, changes=(), **loader) -> dict:
    """A loader of the images in a folder, as short as a user writes it."""
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(folder),
        data_prefix=dict(img_path=''),
        img_suffix='.png',
        metainfo=dict(classes=CLASSES),
    )
    if pipeline:
        dataset['pipeline'] = [*pipeline]
    return dict(dataset=dict(dataset, **dict(changes)), **loader)


def labelled(cfg, **loader) -> dict:
    """A loader of the labelled images as if they had no labels."""
    dataset = copy.deepcopy(dict(cfg.train_dataloader.dataset))
    dataset.pop('pipeline')
    return dict(dataset=dataset, **loader)


def pseudo(images: Path | dict, **options) -> dict:
    """A hook that learns from the images of a folder or a loader."""
    loader = images if isinstance(images, dict) else unlabeled(images)
    return dict(type=PSEUDO, unlabeled_dataloader=loader, **options)


def certain(cfg) -> None:
    """Lets a student that has learned nothing be sure of something."""
    override = dict(name='conv_seg')
    init_cfg = dict(type='Normal', std=1.0, override=override)
    set_heads(cfg.model, init_cfg=init_cfg)


def read_image(path: str | Path) -> Tensor:
    """(1, 3, H, W): an image as a student gets it, which is in BGR."""
    rgb = np.array(Image.open(path)).astype(np.float32)
    return (torch.tensor(rgb).flip(2).permute(2, 0, 1)[None] - 128) / 64


def pseudo_hook(runner) -> PseudoLabelHook:
    (hook,) = (h for h in runner.hooks if isinstance(h, PseudoLabelHook))
    return hook


def watch_images(runner, keep) -> None:
    """Calls ``keep(images, samples)`` for each batch that the hook loads."""

    def load(iteration):
        stock(iteration)
        keep(*images.batch)

    images = pseudo_hook(runner)._images
    stock, images.load = images.load, load


@HOOKS.register_module()
class PathsHook(Hook):
    """Writes down which images, with and without labels, a step sees."""

    priority = 'LOWEST'

    def before_train(self, runner):
        watch_images(runner, self._keep)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen = getattr(self, 'loaded', ())
        self.loaded = ()

    def _keep(self, images, samples):
        self.loaded = samples

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=0):
        names = [Path(x.img_path).name for x in data_batch['data_samples']]
        names += ['+', *(Path(x.img_path).name for x in self.seen)]
        with Path(runner.work_dir, 'paths.txt').open('a') as file:
            file.write(f'{runner.iter}: {" ".join(names)}\n')


class Steps(Lessons):
    """Keeps also what the hook loads, and the weights at and after steps."""

    def __init__(self) -> None:
        self.images, self.samples, self.states = [], [], []
        self.teachers = []

    def before_train(self, runner):
        super().before_train(runner)
        watch_images(runner, self._keep)
        self._keep_teacher(runner)
        self.first_teacher = self.teachers.pop() if self.teachers else None

    def _keep_teacher(self, runner):
        average = pseudo_hook(runner).average
        if average is not None:
            self.teachers.append(copy.deepcopy(average.module.state_dict()))

    def _keep(self, images, samples):
        self.images.append(images.clone())
        self.samples.append(copy.deepcopy(samples))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=0):
        self.states.append(copy.deepcopy(runner.model.state_dict()))
        self._keep_teacher(runner)


def learn(cfg, images: Path | dict, *hooks, **options) -> tuple[Record, Steps]:
    """Trains with images without labels too."""
    steps = Steps()
    return train(cfg, pseudo(images, **options), *hooks, steps), steps


def not_padded(images: Tensor, samples: list) -> Tensor:
    """Which pixels (N, H, W) belong to images."""
    valid = torch.zeros_like(images[:, 0], dtype=torch.bool)
    for mask, sample in zip(valid, samples):
        mask[: sample.img_shape[0], : sample.img_shape[1]] = True
    return valid


def by_hand(
    logits: Tensor, teacher: Tensor, keep: Tensor, soft: bool
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and Jaccard metric loss of confident pixels.

    Of logits (N, C, H, W) of student and teacher, whose probabilities are the
    label if ``soft``; means over the pixels that are kept, resp. classes.
    """
    label = teacher.argmax(1)[keep]
    logits = logits.movedim(1, -1)[keep]
    p = logits.softmax(1)
    y = F.one_hot(label, p.shape[1]).to(p)
    if soft:
        y = teacher.movedim(1, -1)[keep].softmax(1)
        entropy = -(y * logits.log_softmax(1)).sum(1).mean()
    else:
        entropy = F.cross_entropy(logits, label)
    index = (torch.minimum(p, y).sum(0) + 1) / (torch.maximum(p, y).sum(0) + 1)
    counted = y.max(0).values > 0 if not soft else index > -1
    return entropy, 1 - index[counted].mean()
