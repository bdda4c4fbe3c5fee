"""The pixels of the demo scenes."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest

from mmseg_jml.datasets.digit_composer import (
    SPLITS,
    SceneRecipe,
    compose_scene,
    digit_samples,
)

# Recorded under numpy 2.4, and found again under 1.23 and with the processor's
# vector instructions off.
DIGESTS = {
    'training': '4ae4931452b9dc7040938d713306be9d'
    '1fc51b8859882d44f6c244006010f9a7',
    'validation': '05c30c688a7f610e1f480d7ed33d0418'
    '778ca10552f93562f69ffda91135b872',
}


@pytest.mark.parametrize('split', SPLITS)
def test_scenes_are_the_same_on_every_machine(split):
    digest = hashlib.sha256()
    for index in range(50):
        for pixels in compose_scene(split, index):
            digest.update(pixels.tobytes())
    assert digest.hexdigest() == DIGESTS[split]


def test_a_scene_depends_on_its_split_its_number_and_the_seed():
    image, _ = compose_scene('training', 3)
    np.random.random()  # nothing global is drawn from
    assert np.array_equal(image, compose_scene('training', 3)[0])
    for other in (
        compose_scene('training', 4),
        compose_scene('validation', 3),
        compose_scene('training', 3, SceneRecipe(seed=1)),
    ):
        assert not np.array_equal(image, other[0])


def test_splits_share_no_handwriting():
    seen = {
        split: [sample.tobytes() for d in digit_samples(split) for sample in d]
        for split in SPLITS
    }
    assert len(seen['training']) == 1200
    assert len(seen['validation']) == 597
    assert not set(seen['training']) & set(seen['validation'])


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    images = load_digits().images
    first = digit_samples('training')
    # the file starts with 0, 1, 2, ..., 9
    for digit in range(10):
        assert np.array_equal(first[digit][0] * 16, images[digit])


def test_digits_are_long_tailed():
    """Each is 0.8 times as frequent as the one before it."""
    one = SceneRecipe(digits=(1, 1), occluders=(0, 0))
    scenes = 2000
    counts = np.zeros(10)
    for index in range(scenes):
        labels = np.unique(compose_scene('training', index, one)[1])
        (digit,) = labels[labels > 0] - 1
        counts[digit] += 1
    expected = 0.8 ** np.arange(10) * 0.2 / (1 - 0.8**10)
    deviation = np.sqrt(expected * (1 - expected) / scenes)
    assert (abs(counts / scenes - expected) < 4 * deviation).all()


def test_a_mask_marks_the_ink():
    """Without texture's colours in the way, ink is brighter than paper."""
    plain = SceneRecipe(contrast=(120, 130), occluders=(0, 0), noise=0)
    for index in range(20):
        image, mask = compose_scene('training', index, plain)
        assert image.shape == (64, 64, 3)
        assert mask.shape == (64, 64)
        assert image.dtype == mask.dtype == np.uint8
        assert mask.max() <= 10
        grey = image.mean(axis=2)
        assert grey[mask > 0].mean() > grey[mask == 0].mean() + 50


def test_occluders_hide_ink():
    """The same draws come first: bars only take from the mask."""
    bare = SceneRecipe(occluders=(0, 0))
    barred = SceneRecipe(occluders=(2, 2))
    hidden = 0
    for index in range(20):
        before = compose_scene('validation', index, bare)[1]
        after = compose_scene('validation', index, barred)[1]
        assert np.isin(after[after != before], 0).all()
        hidden += np.count_nonzero(after != before)
    assert hidden > 0


def test_a_missing_scikit_learn_is_named(monkeypatch):
    digit_samples.cache_clear()
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        compose_scene('training', 0)
