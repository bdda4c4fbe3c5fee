"""Two real processes share the images, and repeat one to come out even."""

import json
import os
from functools import partial

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import is_main_process

from tests.metric_oracles import assert_same
from tests.processes import distribute, run_in_processes
from tests.tolerances import FIGURES, ROUNDED_FIGURES

from . import evaluation
from .evaluation import CALIBRATION, IMAGES, IOU

EVALUATORS = (
    dict(IOU, worst=30, worst_images=IMAGES),
    CALIBRATION,
    dict(CALIBRATION, binning='equal_mass', prefix='mass'),
)
CASES = {
    'odd': dict(indices=IMAGES, batch_size=1),
    # the repeated image shares a batch with another
    'batches': dict(indices=IMAGES, batch_size=2),
    # the second process has nothing of its own
    'single': dict(indices=1, batch_size=1),
}


@pytest.fixture
def device():
    """The group of these processes is one of CPUs."""
    return torch.device('cpu')


def case_config(scenes, folder, indices, batch_size) -> Config:
    cfg = evaluation.evaluation_config(scenes, folder, *EVALUATORS)
    # batches hold images of one size
    resize = dict(type='Resize', scale=(48, 48), keep_ratio=False)
    cfg.val_dataloader.dataset.pipeline.insert(1, resize)
    cfg.val_dataloader.dataset.indices = indices
    cfg.val_dataloader.batch_size = batch_size
    return cfg


def found(cfg) -> dict:
    """Figures, images seen and, in the main process, the worst by name."""
    figures, heard, runner = evaluation.evaluate(cfg)
    lines = evaluation.log_of(runner) if is_main_process() else []
    return dict(
        figures={name: float(value) for name, value in figures.items()},
        images=len(heard),
        worst=[line for line in lines if line.startswith('| /')],
    )


def evaluate_in_group(folder, rank) -> None:
    os.chdir(folder)  # and gathers in a folder of this one
    for name in CASES:
        result = found(Config.fromfile(folder / f'{name}.py'))
        (folder / f'{name}{rank}.json').write_text(json.dumps(result))


def test_same_figures_as_one_process(scenes, tmp_path):
    alone = {}
    for name, case in CASES.items():
        cfg = case_config(scenes, tmp_path / f'{name} alone', **case)
        alone[name] = found(cfg)
        assert alone[name]['images'] == case['indices']
        distribute(cfg)
        cfg.experiment_name = name
        cfg.work_dir = str(tmp_path / name)
        cfg.dump(tmp_path / f'{name}.py')
    run_in_processes(partial(evaluate_in_group, tmp_path), tmp_path)
    for name, expected in alone.items():
        paths = [tmp_path / f'{name}{rank}.json' for rank in (0, 1)]
        first, second = (json.loads(path.read_text()) for path in paths)
        assert first['images'] + second['images'] == expected['images'] + 1
        assert first['worst'] == expected['worst']
        assert len(first['worst']) == expected['images']
        # other batches are convolved with other roundings
        tolerance = ROUNDED_FIGURES if name == 'batches' else FIGURES
        for one in (first, second):
            assert_same(one['figures'], expected['figures'], tolerance)
