"""Stock configs take a training step with one loss entry replaced.

By default the picks of ``CALLS`` and those that the stack cannot run; with
the environment variable ``ZOO=all`` every pick, and the stock losses beside
them.
"""

import json
import os
import re

import pytest
import torch

from mmseg_jml.config import replace_pixel_loss
from tests.oracles import ACTIVE, jaccard_loss, one_hot, sigmoid, softmax
from tests.tolerances import LOGGED, TWO_WAYS

from . import catalog, stacks, trial

WHOLE = os.environ.get('ZOO') == 'all'

PLAIN = 'NCHW ignore_index=255 weight=None'
SAMPLED = 'NCHW ignore_index=255 weight=map'
RANKED = 'NCHW ignore_index=255 reduction_override=none weight=None'
UNIGNORED = 'NCHW'  # the head names no ignore_index
# How each kind of head calls the losses that are replaced in it.
MAIN = 'model.decode_head.loss_decode'
ONCE = (
    'cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680.py',
    'convnext/convnext-small_upernet_8xb2-amp-160k_ade20k-512x512.py',
    'encnet/encnet_r50-d8_4xb2-40k_cityscapes-512x1024.py',
    'fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py',
    'mobilenet_v3/mobilenet-v3-d8-s_lraspp_4xb4-320k_cityscapes-512x1024.py',
    'segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py',
)
CALLS = {
    **dict.fromkeys(ONCE, {MAIN: [PLAIN]}),
    'danet/danet_r50-d8_4xb2-40k_cityscapes-512x1024.py': {MAIN: 3 * [PLAIN]},
    'ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py': {
        f'{MAIN}.{i}': [UNIGNORED] for i in (0, 1)
    },
    'deeplabv3plus/'
    'deeplabv3plus_r101-d16-mg124_4xb2-40k_cityscapes-512x1024.py': {
        MAIN: [RANKED, SAMPLED]
    },
    'knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py': {
        'model.decode_head.kernel_generate_head.loss_decode': 4 * [PLAIN]
    },
    'ocrnet/ocrnet_hr18s_4xb2-160k_cityscapes-512x1024.py': {
        f'model.decode_head.{i}.loss_decode': [PLAIN] for i in (0, 1)
    },
    'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py': {
        f'{MAIN}.0': ['NCHW ignore_index=255'],
        f'{MAIN}.1': [UNIGNORED],
        f'{MAIN}.3': [UNIGNORED],
    },
    'point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py': {
        'model.decode_head.0.loss_decode': [PLAIN],
        'model.decode_head.1.loss_decode': ['NCP ignore_index=255'],
    },
    'stdc/stdc1_4xb12-80k_cityscapes-512x1024.py': {MAIN: [SAMPLED]},
    'unet/unet-s5-d16_fcn_4xb4-ce-1.0-dice-3.0-40k_chase-db1-128x128.py': {
        f'{MAIN}.0': [PLAIN]
    },
}
HEADS = 'decode_head', 'auxiliary_head'
VARIANTS = {
    'main head': ('JaccardMetricLoss', HEADS[:1]),
    'auxiliary heads': ('JaccardMetricLoss', HEADS[1:]),
    'both with CE': ('JaccardMetricCELoss', HEADS),
}
# DDRNet and PIDNet name the terms of their log themselves.
OWN_KEYS = ('ddrnet', 'pidnet')


def names():
    if WHOLE:
        return [pick.config for pick in catalog.picks()]
    return sorted({*CALLS, *stacks.cannot_run()})


def cases():
    """Returns the configs and the variants that change something in them."""
    found = []
    for name in names():
        for variant, options in VARIANTS.items():
            try:
                replace_pixel_loss(catalog.read(name), *options)
            except ValueError:
                continue
            found.append((name, variant))
    return found


@pytest.fixture(autouse=True)
def _imports(request):
    """Lets mmpretrain's backbones be imported."""
    name = request.node.callspec.params['name']
    if catalog.family(name) in ('convnext', 'poolformer'):
        request.getfixturevalue('torchvision')


@pytest.mark.parametrize(('name', 'variant'), cases())
def test_training_step(name, variant, record_property):
    why = stacks.cannot_run().get(name)
    if why:
        said = check_refusal(why, name, *VARIANTS[variant])
        note(record_property, name, variant, said)
        return
    step = trial.run(name, *VARIANTS[variant])
    check_log(step)
    for path, calls in step.calls.items():
        for call in calls:
            check_call(call, step.entries[path])
        check_keys(step, path, name)
        check_gradients(step.of_head(path))
    described = {x: list(map(str, step.calls[x])) for x in step.calls}
    if variant == 'main head' and name in CALLS:
        assert described == CALLS[name]
    note(record_property, name, variant, calls=described)


@pytest.mark.parametrize('name', names() if WHOLE else [])
def test_stock_baseline(name, record_property):
    """Shows what the stack does without this package."""
    why = stacks.stock_loss_cannot_run().get(name)
    if why:
        note(record_property, name, 'stock', check_refusal(why, name, None))
    else:
        check_log(trial.run(name, None))
        note(record_property, name, 'stock')


def resolution_cases():
    """Returns the configs with a new loss and, in a whole run, the stock."""
    variants = ('main head', 'stock') if WHOLE else ('main head',)
    return [(name, variant) for variant in variants for name in names()]


@pytest.mark.parametrize(('name', 'variant'), resolution_cases())
def test_head_resolution(name, variant, record_property):
    """A step at the heads' resolution is the step at the label's."""
    loss, cannot_run = 'JaccardMetricCELoss', stacks.cannot_run()
    if variant == 'stock':
        loss, cannot_run = None, stacks.stock_loss_cannot_run()
    if name in cannot_run:
        check_refusal(cannot_run[name], name, loss)
        return
    expected = trial.run(name, loss)
    found = trial.run(name, loss, at_head_resolution=True)
    check_same(found, expected)
    line = dict(config=name, variant=variant, reasons=found.reasons)
    record_property('resolution', json.dumps(line))


def note(record_property, name, variant, reason='', calls=None):
    """Leaves a line for ``tests.zoo.report`` in the report of pytest."""
    line = dict(config=name, variant=variant, reason=reason, calls=calls or {})
    record_property('step', json.dumps(line))


def check_refusal(why, *arguments):
    kinds = AssertionError, IndexError, RuntimeError, TypeError
    with pytest.raises(kinds, match=why) as error:
        trial.run(*arguments)
    return str(error.value)


def check_log(step):
    terms = {k: v for k, v in step.log.items() if 'loss' in k and k != 'loss'}
    assert step.log['loss'] == pytest.approx(sum(terms.values()), rel=LOGGED)
    assert torch.tensor(list(step.log.values())).isfinite().all()


def check_call(call, entry):
    if call.options.get('reduction_override') == 'none':
        assert call.value.shape == call.label.shape
        assert call.value.isfinite().all()
        return
    assert call.value.ndim == 0
    if entry['type'] == 'mmseg_jml.JaccardMetricLoss':
        assert float(call.value) == pytest.approx(
            textbook(call, entry), LOGGED
        )
    assert call.gradient.isfinite().all()
    has_label = bool((call.label != 255).any())
    assert bool(call.gradient.any()) is has_label


def textbook(call, entry):
    """The loss by loops over the present classes, with its defaults."""
    logits, label = call.logits.double().flatten(2), call.label.flatten(1)
    weight = (label != 255).double()
    if call.options.get('weight') is not None:
        weight = weight * call.options['weight'].flatten(1)
    prob = (sigmoid if entry.get('use_sigmoid') else softmax)(logits.numpy())
    onehot = one_hot(label.numpy(), prob.shape[1])
    options = dict(class_weight=entry.get('class_weight'))
    data = prob, onehot, weight.numpy(), ACTIVE['PRESENT']
    return entry['loss_weight'] * jaccard_loss(*data, **options)


DEFAULT_NAMES = {
    'mmseg_jml.JaccardMetricLoss': 'loss_jml',
    'mmseg_jml.JaccardMetricCELoss': 'loss_jml_ce',
}


def check_keys(step, path, name):
    place = re.match(r'model\.(decode|auxiliary)_head\.?(\d*)', path)
    head, stage = place.groups()
    prefix = head.replace('auxiliary', 'aux') + (stage and f'_{stage}') + '.'
    entry = step.entries[path]
    expected = entry.get('loss_name', DEFAULT_NAMES[entry['type']])
    if catalog.family(name) in OWN_KEYS:
        expected = 'loss_'
    terms = {k: v for k, v in step.log.items() if k.startswith(prefix)}
    for call in step.calls[path]:
        if call.value.ndim == 0:
            keys = [k for k, value in terms.items() if value == call.value]
            assert any(expected in key for key in keys)


def check_gradients(gradients):
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)


def check_same(found, expected, tolerance=TWO_WAYS):
    """Compares logs and all gradients, but for terms that one alone has."""
    assert [x for x in found.log if x in expected.log] == list(expected.log)
    for name, value in expected.log.items():
        assert found.log[name] == pytest.approx(value, rel=tolerance), name
    assert found.gradients.keys() == expected.gradients.keys()
    largest = {n: float(g.abs().max()) for n, g in expected.gradients.items()}
    rounding = max(largest.values()) / 100  # what should be 0 is not
    for name, value in expected.gradients.items():
        error = float((found.gradients[name] - value).abs().max())
        assert error <= tolerance * max(largest[name], rounding), name
