"""What an evaluation keeps does not grow with pixels."""

import pickle
import re
from pathlib import Path

import pytest
import torch
from mmseg.registry import METRICS

import mmseg_jml  # noqa: F401 (fills the registries)
from tests.tools.run import python

from .evaluation import CALIBRATION, IOU

CLASSES = 19


def samples(images: int, size: int = 64):
    """Predictions, one at a time."""
    for i in range(images):
        logits = torch.randn(CLASSES, size, size)
        label = torch.randint(0, CLASSES, (1, size, size))
        yield dict(
            seg_logits=dict(data=logits),
            pred_sem_seg=dict(data=logits.argmax(0, keepdim=True)),
            gt_sem_seg=dict(data=label),
            img_path=f'images/{i:06d}.png',
        )


def fed(evaluator: dict, images: int, size: int = 64, watch=None):
    """A metric after some images, or what was watched at each of them."""
    metric = METRICS.build(dict(evaluator))
    metric.dataset_meta = dict(classes=tuple(map(str, range(CLASSES))))
    watched = []
    for sample in samples(images, size):
        metric.process({}, [sample])
        watched.append(watch and watch())
    return watched if watch else metric


# Integers take one byte or two, and pickle shares what is one object.
PICKLED = 32


def kept(metric) -> int:
    return len(pickle.dumps(vars(metric)))


@pytest.mark.parametrize('binning', ['equal_width', 'equal_mass'])
def test_calibration_keeps_the_same(binning):
    """However many images there are, and however large they are."""
    evaluator = dict(CALIBRATION, binning=binning)
    few = kept(fed(evaluator, 10, size=8))
    for images, size in ((1000, 8), (10, 64)):
        found = kept(fed(evaluator, images, size=size))
        assert found == pytest.approx(few, abs=PICKLED)


def test_fine_grained_iou_keeps_three_numbers_per_class_and_image():
    few, many = (kept(fed(IOU, images, size=8)) for images in (10, 110))
    assert (many - few) / 100 < 24 * CLASSES + 200
    assert kept(fed(IOU, 10, size=64)) == pytest.approx(few, abs=PICKLED)


# Memory of the process itself, without the pages of files.
STATUS = Path('/proc/self/status')
PEAKS = """
import re
from tests.metrics.test_memory import CALIBRATION, IOU, STATUS, fed
def memory():
    return int(re.search(r'RssAnon:\\s+(\\d+)', STATUS.read_text())[1])
for evaluator in (CALIBRATION, IOU):
    fed(evaluator, 10)
    few, many = (
        max(fed(evaluator, images, watch=memory)) for images in (10, 1000)
    )
    print('grown by', many - few)
"""


@pytest.mark.skipif(not STATUS.exists(), reason='reads what Linux tells')
def test_peak_memory_of_10_and_of_1000_images():
    """Up to 3 MB: one byte per pixel would be 4 MB, confidences 16 MB."""
    grown = re.findall(r'grown by (-?\d+)', python('-c', PEAKS))
    assert len(grown) == 2
    assert max(map(int, grown)) < 3 * 1024
