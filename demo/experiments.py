"""In what the trainings of each demo differ.

Each function plans a demo: it takes the number of seeds, the number of
iterations and the folder of all runs, and returns the runs in stages. A stage
begins when the results of the one before it have been shown.
"""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from .runs import Run

CE = dict(type='CrossEntropyLoss')
JML = dict(type='mmseg_jml.JaccardMetricCELoss')
NEIGHBOURS = dict(
    JML, label_smoothing=dict(mode='neighbours', epsilon=0.5, kernel_size=3)
)
# The baseline of each kind of run.
COMPARED = {
    'CE + JML': 'CE',
    'CE + JML, neighbours': 'CE + JML',
    'student + KL': 'student',
    'student + JML': 'student',
    'mean teacher, CE': 'labels alone',
    'hard, CE + JML': 'labels alone',
    'soft, CE + JML': 'labels alone',
}


def config(iters: int, loss: dict, *hooks: dict, width: int = 16) -> Config:
    """Complete the shared config, with ``width`` channels at first."""
    cfg = Config.fromfile(Path(__file__).with_name('config.py'))
    warm_up, decay = cfg.param_scheduler
    warm_up.end = decay.begin = iters // 10
    decay.end = cfg.train_cfg.max_iters = iters
    cfg.default_hooks.checkpoint.interval = max(iters // 4, 1)
    double, stages = 2 * width, [width, 2 * width, 4 * width]
    cfg.model.backbone.update(stem_channels=width, base_channels=width)
    cfg.model.neck.update(in_channels=stages, out_channels=double)
    cfg.model.decode_head.update(in_channels=[double] * 3, channels=double)
    cfg.model.decode_head.loss_decode = loss
    cfg.custom_hooks.extend(hooks)
    return cfg


def _runs(seeds: int, root: Path, configs: dict[str, Config]) -> list[Run]:
    return [
        Run(name, seed, cfg, root)
        for seed in range(seeds)
        for name, cfg in configs.items()
    ]


def jml(seeds: int, iters: int, root: Path) -> list[list[Run]]:
    """Plan cross-entropy and JML, then JML with smoothed labels."""
    hard = {'CE': config(iters, CE), 'CE + JML': config(iters, JML)}
    soft = {'CE + JML, neighbours': config(iters, NEIGHBOURS)}
    return [_runs(seeds, root, hard), _runs(seeds, root, soft)]


def kd(seeds: int, iters: int, root: Path) -> list[list[Run]]:
    """Plan a teacher and students alone, then students with the teacher."""
    teacher = Run('teacher', 0, config(2 * iters, JML, width=32), root)
    hook = dict(
        type='mmseg_jml.DistillationHook',
        teacher=teacher.cfg.to_dict(),
        checkpoint=f'{teacher.folder}/iter_{2 * iters}.pth',
    )
    kl = dict(hook, loss=dict(type='mmseg_jml.KLDivergenceLoss'))
    taught = {
        'student + KL': config(iters, JML, kl),
        'student + JML': config(iters, JML, hook),
    }
    students = _runs(seeds, root, {'student': config(iters, JML)})
    return [[teacher, *students], _runs(seeds, root, taught)]


def semi(seeds: int, iters: int, root: Path) -> list[list[Run]]:
    """Plan few labels alone, and with unlabelled scenes in three ways."""
    half, scenes = iters // 2, config(iters, JML).scenes.to_dict()
    hook = dict(
        type='mmseg_jml.PseudoLabelHook',
        unlabeled_dataloader=dict(dataset=scenes),
        momentum=0.97,
        threshold=0.9,
        # hues stay, since they tell the classes apart
        distortions=[dict(type='ColorJitter', brightness=0.3, contrast=0.3)],
        label_weight=1.0,
        # pseudo labels count once the model has learned from labels
        loss_weight=dict(
            type='linear', start=0, stop=1, begin=half, end=half + 1
        ),
    )
    hard = dict(hook, soft=False)
    ce = dict(JML, ce_weight=1.0, jml_weight=0.0)
    configs = {
        'labels alone': config(iters, JML),
        'mean teacher, CE': config(iters, JML, dict(hard, loss=ce)),
        'hard, CE + JML': config(iters, JML, hard),
        'soft, CE + JML': config(iters, JML, hook),
    }
    for cfg in configs.values():
        cfg.train_dataloader.batch_size = 8
        cfg.train_dataloader.dataset.indices = 100
    return [_runs(seeds, root, configs)]
