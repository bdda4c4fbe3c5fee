"""The average where gradients accumulate, in TTA, and in files."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.runner import Runner
from PIL import Image

from tests.tools import run

from .distillation import build, forward, load, train
from .semi import PSEUDO, certain, learn, unlabeled
from .test_pseudo_label_beside import miou_by_hand, with_evaluation

TEACHER = 'pseudo_label_teacher'


def test_steps_are_those_of_the_optimizer(cfg, pictures):
    """Four batches make a step, and the last three make another."""
    cfg.train_cfg.max_iters = 7
    cfg.default_hooks.checkpoint.interval = 7
    cfg.optim_wrapper.accumulative_counts = 4
    _, steps = learn(cfg, pictures, momentum=0.6)
    saved = load(f'{cfg.work_dir}/iter_7.pth')[TEACHER]
    assert saved['steps'] == 2
    name = 'decode_head.conv_seg.weight'
    first, second = (steps.states[t][name] for t in (3, 6))
    assert not torch.equal(first, second)
    # it keeps nothing of the untrained student, then a half of itself
    torch.testing.assert_close(steps.teachers[5][name], first)
    torch.testing.assert_close(saved[f'module.{name}'], (first + second) / 2)


def averaged(path: str) -> dict:
    state = load(path)[TEACHER]
    del state['steps']
    return {k.removeprefix('module.'): v for k, v in state.items()}


def evaluated(cfg, pictures):
    certain(cfg)
    with_evaluation(cfg)
    cfg.custom_hooks.append(
        dict(
            type=PSEUDO,
            unlabeled_dataloader=unlabeled(pictures),
            momentum=0.5,
            evaluate_teacher=True,
        )
    )


def test_evaluation_with_test_time_augmentation(
    cfg, pictures, tmp_path, monkeypatch
):
    evaluated(cfg, pictures)
    train(cfg)
    path = f'{cfg.work_dir}/iter_3.pth'
    cfg.tta_model = dict(type='SegTTAModel')
    flips = [dict(type='RandomFlip', prob=p) for p in (0.0, 1.0)]
    cfg.tta_pipeline = [
        dict(type='LoadImageFromFile'),
        dict(
            type='TestTimeAug',
            transforms=[
                flips,
                [dict(type='LoadAnnotations')],
                [dict(type='PackSegInputs')],
            ],
        ),
    ]
    cfg.dump(tmp_path / 'config.py')
    run.here(
        monkeypatch, 'test.py', tmp_path / 'config.py', path,
        '--work-dir', tmp_path / 'tested', '--tta',
    )  # fmt: skip
    (log,) = (tmp_path / 'tested').glob('*/*.log')
    model = build(cfg.model).eval()
    model.load_state_dict(averaged(path))

    def both(model, inputs):
        """The mean of the probabilities of an image and its mirror."""
        views = [
            forward(model, inputs)[0].softmax(1),
            forward(model, inputs.flip(3))[0].softmax(1).flip(3),
        ]
        return [sum(views) / 2]

    monkeypatch.setattr('tests.hooks.test_pseudo_label_beside.forward', both)
    expected = miou_by_hand(model, tmp_path / 'noise')
    assert f'teacher/mIoU: {expected:.2f}' in log.read_text()


def test_files_of_student_and_teacher(cfg, pictures, tmp_path):
    """Each has its own, written maps and dumped predictions alike."""
    evaluated(cfg, pictures)
    out = tmp_path / 'maps'
    cfg.test_evaluator = [
        dict(type='IoUMetric', iou_metrics=['mIoU'], output_dir=str(out)),
        dict(type='DumpResults', out_file_path=str(tmp_path / 'all.pkl')),
    ]
    train(cfg)
    path = f'{cfg.work_dir}/iter_3.pth'
    cfg.load_from, cfg.work_dir = path, str(tmp_path / 'tested')
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    assert {'mIoU', 'teacher/mIoU'} <= metrics.keys()
    assert runner.test_evaluator.metrics[0].output_dir == str(out)
    model = build(cfg.model).eval()
    different = 0
    for weights, folder in (
        (averaged(path), out / 'teacher'),
        (load(path)['state_dict'], out),
    ):
        model.load_state_dict(weights)
        for file in sorted((tmp_path / 'noise/images').glob('*.png')):
            pixels = np.array(Image.open(file)).astype(np.float32)
            inputs = torch.tensor(pixels[..., ::-1].copy()).permute(2, 0, 1)
            with torch.no_grad():
                logits = forward(model, (inputs[None] - 128) / 64)[0]
            found = np.array(Image.open(folder / file.name))
            assert np.array_equal(found, logits.argmax(1)[0])
            teacher = np.array(Image.open(out / 'teacher' / file.name))
            different += (found != teacher).sum()
    assert different
    assert (tmp_path / 'all.pkl').stat().st_size
    assert (tmp_path / 'teacher/all.pkl').stat().st_size
