"""Evaluations in a real Runner, with what the model predicted on the side."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import TRANSFORMS
from PIL import Image
from torch import Tensor

from tests.metric_oracles import assert_same, calibration_figures
from tests.tiny_run import tiny_config
from tests.tolerances import ROUNDED_FIGURES

SIZES = ((48, 48), (40, 56), (32, 64), (64, 32), (48, 40), (40, 40), (56, 32))
IMAGES = len(SIZES)
IOU = dict(type='mmseg_jml.FineGrainedIoUMetric')
CALIBRATION = dict(type='mmseg_jml.CalibrationMetric')
NAMES = ('ECED', 'ECEI', 'SCED', 'SCEI', 'NLL', 'Brier')


@TRANSFORMS.register_module()
class DropThird(BaseTransform):
    """Ignores pixels of the third class, for models of two."""

    def transform(self, results: dict) -> dict:
        mask = results['gt_seg_map']
        results['gt_seg_map'] = np.where(mask == 2, 255, mask)
        return results


class Prediction(NamedTuple):
    """What an evaluator gets of one image."""

    scores: Tensor
    prediction: Tensor
    label: Tensor


class Listen(Hook):
    """Keeps the predictions of an evaluation, on the CPU."""

    def __init__(self) -> None:
        self.heard = []

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        for one in outputs:
            parts = one.seg_logits, one.pred_sem_seg, one.gt_sem_seg
            parts = [part.data.clone().cpu() for part in parts]
            self.heard.append(Prediction(*parts))

    after_test_iter = after_val_iter


def write_scenes(folder: Path) -> None:
    """Writes seven images of seven sizes, with masks of blocks.

    Masks hold 0 to 2 (no image all of them) and 255, ignored.
    """
    numbers = np.random.default_rng(0)
    for part in ('images', 'masks'):
        (folder / part).mkdir(parents=True)
    for i, (height, width) in enumerate(SIZES):
        image = numbers.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(image).save(folder / 'images' / f'{i}.png')
        mask = numbers.integers(0, 2, (height // 8, width // 8)) + i % 2
        mask = mask.repeat(8, 0).repeat(8, 1).astype(np.uint8)
        mask[numbers.random(mask.shape) < 0.1] = 255
        Image.fromarray(mask).save(folder / 'masks' / f'{i}.png')


def evaluation_config(folder: Path, work_dir: Path, *evaluators: dict):
    """Builds the config of an evaluation, beside mmseg's own evaluator."""
    cfg = tiny_config(folder, work_dir)
    for name in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        cfg.pop(name)
    cfg.custom_hooks, cfg.param_scheduler = [], None
    cfg.default_hooks.checkpoint = None
    stock = dict(type='IoUMetric', iou_metrics=['mIoU', 'mDice'])
    cfg.val_evaluator = [stock, *evaluators]
    cfg.test_cfg = dict(type='TestLoop')
    cfg.test_dataloader = copy.deepcopy(cfg.val_dataloader)
    cfg.test_evaluator = copy.deepcopy(cfg.val_evaluator)
    cfg.experiment_name = work_dir.name
    return cfg


def one_channel(cfg: Config, threshold: float = 0.4) -> None:
    """A head of one channel, for the first two of three classes."""
    options = dict(num_classes=2, out_channels=1, threshold=threshold)
    cfg.model.decode_head.update(options)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.metainfo = dict(classes=('ground', 'car'))
        loader.dataset.pipeline.insert(2, dict(type='DropThird'))


def evaluate(cfg: Config, test: bool = False):
    """Evaluates a model with random weights that is certain of something.

    Returns:
        tuple[dict, list[Prediction], Runner]: Figures, predictions, runner.
    """
    runner, listen = Runner.from_cfg(cfg), Listen()
    runner.register_hook(listen)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for name, parameter in runner.model.named_parameters():
            if 'conv_seg.weight' in name:
                drawn = 0.5 * torch.randn(parameter.shape)
                parameter.data = drawn.to(parameter)
    figures = runner.test() if test else runner.val()
    return figures, listen.heard, runner


def log_of(runner: Runner) -> list[str]:
    """Lines that a run has logged."""
    (path,) = Path(runner.log_dir).glob('*.log')
    return path.read_text().splitlines()


def assert_figures(figures: dict, expected: dict) -> None:
    ours = {name: figures[name] for name in NAMES}
    assert_same(ours, expected, ROUNDED_FIGURES)


def by_loops(heard, probs) -> dict:
    probs = [prob.flatten(1).numpy() for prob in probs]
    return calibration_figures(probs, [one.label.flatten() for one in heard])


def augmented(cfg, model_type: str) -> None:
    """Turns on test-time augmentation as `tools/test.py --tta` does."""
    resize = dict(type='Resize', keep_ratio=True)
    flip = dict(type='RandomFlip', direction='horizontal')
    transforms = [
        [dict(resize, scale_factor=s) for s in (1.0, 1.5)],
        [dict(flip, prob=p) for p in (0.0, 1.0)],
        [dict(type='LoadAnnotations')],
        [dict(type='PackSegInputs')],
    ]
    cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='TestTimeAug', transforms=transforms),
    ]
    cfg.model = dict(type=model_type, module=cfg.model)
