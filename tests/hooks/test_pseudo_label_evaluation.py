"""A mean teacher is validated and tested beside its student."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.device import get_device
from mmengine.runner import Runner
from PIL import Image

from tests.tolerances import TWO_DECIMALS
from tests.tools import run

from . import runs, semi

FLIPS = [dict(type='RandomFlip', prob=p) for p in (0.0, 1.0)]


@pytest.fixture
def cfg(cfg, pictures):
    semi.certain(cfg)
    cfg = runs.with_evaluation(cfg)
    cfg.train_cfg.val_interval = 3
    hook = semi.pseudo(pictures, momentum=0.5, evaluate_teacher=True)
    cfg.custom_hooks.append(hook)
    return cfg


def models(cfg) -> list:
    """The student and the teacher of a checkpoint."""
    checkpoint = runs.load(f'{cfg.work_dir}/iter_3.pth')
    state = checkpoint['pseudo_label_teacher']
    del state['steps']
    teacher = {k.removeprefix('module.'): v for k, v in state.items()}
    made = [runs.build(cfg.model).eval() for _ in range(2)]
    for model, weights in zip(made, (checkpoint['state_dict'], teacher)):
        model.load_state_dict(weights)
    return made


def miou_by_hand(model, folder: Path, mirrored: bool = False) -> float:
    """Over all pixels of all images, in percent."""
    found, truth = [], []
    for path in sorted((folder / 'images').glob('*.png')):
        image = semi.read_image(path).to(get_device())
        scores = runs.answer(model, image).softmax(1)
        if mirrored:
            mirror = runs.answer(model, image.flip(3)).softmax(1).flip(3)
            scores = (scores + mirror) / 2
        found.append(scores.argmax(1)[0].cpu())
        mask = np.array(Image.open(folder / 'masks' / path.name))
        truth.append(torch.from_numpy(mask).long())
    return runs.miou(torch.stack(found), torch.stack(truth))


def evaluated(cfg, tmp_path, *options) -> str:
    """What `tools/test.py` logs of a checkpoint."""
    cfg.dump(tmp_path / 'config.py')
    paths = tmp_path / 'config.py', Path(cfg.work_dir, 'iter_3.pth')
    run.tool('test.py', *paths, '--work-dir', tmp_path / 'tested', *options)
    return run.log_of(tmp_path / 'tested')


def test_evaluation_of_student_and_teacher(cfg, tmp_path):
    cfg.default_hooks.checkpoint.save_best = 'teacher/mIoU'
    logged = runs.train(cfg).runner.message_hub.log_scalars
    expected = [miou_by_hand(m, tmp_path / 'noise') for m in models(cfg)]
    # told apart by what is logged, with two decimals
    assert expected[0] != pytest.approx(expected[1], abs=0.02)
    for name, value in zip(('mIoU', 'teacher/mIoU'), expected):
        found = logged[f'val/{name}'].current()
        assert found == pytest.approx(value, abs=TWO_DECIMALS)
    assert Path(cfg.work_dir, 'best_teacher_mIoU_iter_3.pth').exists()

    text = evaluated(cfg, tmp_path)
    assert f'teacher/mIoU: {expected[1]:.2f}' in text
    assert f' mIoU: {expected[0]:.2f}' in text


def test_evaluation_with_test_time_augmentation(cfg, tmp_path):
    """Of the mean of the probabilities of an image and its mirror."""
    runs.train(cfg)
    cfg.tta_model = dict(type='SegTTAModel')
    transforms = [FLIPS, runs.LOAD[1:], [runs.PACK]]
    augmented = dict(type='TestTimeAug', transforms=transforms)
    cfg.tta_pipeline = [runs.LOAD[0], augmented]
    text = evaluated(cfg, tmp_path, '--tta')
    expected = miou_by_hand(models(cfg)[1], tmp_path / 'noise', mirrored=True)
    assert f'teacher/mIoU: {expected:.2f}' in text


def test_checkpoint_without_a_teacher_to_evaluate(cfg, tmp_path):
    hook = cfg.custom_hooks.pop()
    runs.train(cfg)
    cfg.load_from = f'{cfg.work_dir}/iter_3.pth'
    cfg.work_dir = str(tmp_path / 'tested')
    cfg.custom_hooks.append(hook)
    metrics = Runner.from_cfg(cfg).test()
    assert 'mIoU' in metrics
    assert 'teacher/mIoU' not in metrics
    assert 'no mean teacher to evaluate' in runs.log_text(cfg)


def test_files_of_student_and_teacher(cfg, tmp_path):
    """Each has its own, written maps and dumped predictions alike."""
    out = tmp_path / 'maps'
    cfg.test_evaluator = [
        dict(type='IoUMetric', iou_metrics=['mIoU'], output_dir=str(out)),
        dict(type='DumpResults', out_file_path=str(tmp_path / 'all.pkl')),
    ]
    runs.train(cfg)
    student, teacher = models(cfg)
    cfg.load_from = f'{cfg.work_dir}/iter_3.pth'
    cfg.work_dir = str(tmp_path / 'tested')
    runner = Runner.from_cfg(cfg)
    metrics = runner.test()
    assert {'mIoU', 'teacher/mIoU'} <= metrics.keys()
    assert runner.test_evaluator.metrics[0].output_dir == str(out)
    different = 0
    for path in sorted((tmp_path / 'noise/images').glob('*.png')):
        image = semi.read_image(path).to(get_device())
        maps = [
            np.array(Image.open(folder / path.name))
            for folder in (out, out / 'teacher')
        ]
        for model, found in zip((student, teacher), maps):
            expected = runs.answer(model, image).argmax(1)[0].cpu()
            assert np.array_equal(found, expected)
        different += (maps[0] != maps[1]).sum()
    assert different
    assert (tmp_path / 'all.pkl').stat().st_size
    assert (tmp_path / 'teacher/all.pkl').stat().st_size
