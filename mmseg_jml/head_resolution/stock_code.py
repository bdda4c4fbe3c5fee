"""Recognition of the code of mmseg and mmengine."""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import lru_cache

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.loops import BaseLoop

__all__ = ['fingerprint', 'logit_reader']

# Methods that get predictions, and are known not to read seg_logits.
_METRICS = 'mmseg.evaluation.metrics.'
_VISUALIZER = 'mmseg.visualization.local_visualizer.SegLocalVisualizer.'
_DRAWING_HOOK = 'mmseg.engine.hooks.visualization_hook.SegVisualizationHook.'
_KNOWN = {
    'mmengine.evaluator.evaluator.Evaluator.process',
    'mmengine.hooks.empty_cache_hook.EmptyCacheHook._after_iter',
    'mmengine.hooks.hook.Hook._after_iter',
    'mmengine.hooks.hook.Hook.after_test_iter',
    'mmengine.hooks.hook.Hook.after_val_iter',
    'mmengine.hooks.iter_timer_hook.IterTimerHook._after_iter',
    'mmengine.hooks.logger_hook.LoggerHook.after_test_iter',
    'mmengine.hooks.logger_hook.LoggerHook.after_val_iter',
    'mmengine.runner.loops.TestLoop.run',
    'mmengine.runner.loops.TestLoop.run_iter',
    'mmengine.runner.loops.ValLoop.run',
    'mmengine.runner.loops.ValLoop.run_iter',
    'mmengine.visualization.visualizer.Visualizer.add_datasample',
    'mmseg_jml.metrics.fine_grained_iou_metric.FineGrainedIoUMetric.process',
    _VISUALIZER + 'add_datasample',
    _METRICS + 'citys_metric.CityscapesMetric.process',
    _METRICS + 'iou_metric.IoUMetric.process',
    _DRAWING_HOOK + '_after_iter',
    _DRAWING_HOOK + 'after_test_iter',
    _DRAWING_HOOK + 'after_val_iter',
}


@lru_cache(maxsize=None)
def fingerprint(method: Callable) -> str:
    """Hash a method's code without signature, docstring and layout.

    Every version of Python gives the same hash.

    Returns:
        str: 16 hexadecimal digits; empty if there is no source, and for a
        lambda.
    """
    try:
        source = textwrap.dedent(inspect.getsource(method))
        definition = ast.parse(source).body[0]
    except (OSError, SyntaxError, TypeError):
        return ''
    if not isinstance(definition, ast.FunctionDef):
        return ''
    body = definition.body
    if ast.get_docstring(definition) is not None:
        body = body[1:]
    return hashlib.sha256(_described(body).encode()).hexdigest()[:16]


def _described(node: object) -> str:
    """Describe syntax by what all versions of Python have in common."""
    if isinstance(node, list):
        return f'[{" ".join(map(_described, node))}]'
    if not isinstance(node, ast.AST):
        return repr(node)
    name, fields = type(node).__name__, dict(ast.iter_fields(node))
    if name == 'Index':  # Python 3.8 wraps indices
        return _described(fields['value'])
    if name == 'ExtSlice':
        return f'Tuple(elts={_described(fields["dims"])})'
    described = (
        f'{field}={_described(value)}'
        for field, value in fields.items()
        if field not in ('ctx', 'kind') and value not in (None, [])
    )
    return f'{name}({", ".join(described)})'


def logit_reader(runner: Runner, loop: BaseLoop, stage: str) -> str | None:
    """Find an object that may read ``seg_logits`` from a run's predictions.

    Evaluators, hooks, visualizers, loops and test-time augmentation count as
    readers unless their code is known not to read them. A subclass is known
    if it inherits the method that gets the predictions.

    Returns:
        str | None: Name of the reader's class; None if there is no reader.
    """
    model = runner.model
    while is_model_wrapper(model):
        model = model.module
    if isinstance(model, BaseTTAModel):
        return type(model).__name__
    for owner, name in _receivers(runner, loop, stage):
        method = getattr(owner, name)
        module = getattr(method, '__module__', '')
        if f'{module}.{getattr(method, "__qualname__", "")}' not in _KNOWN:
            return type(owner).__name__
    return None


def _receivers(
    runner: Runner, loop: BaseLoop, stage: str
) -> Iterator[tuple[object, str]]:
    """List the objects that get predictions, and the methods that do."""
    yield loop, 'run'
    yield loop, 'run_iter'
    yield loop.evaluator, 'process'
    for metric in loop.evaluator.metrics:
        yield metric, 'process'
    for hook in runner.hooks:
        yield hook, '_after_iter'
        yield hook, f'after_{stage}_iter'
    yield runner.visualizer, 'add_datasample'
