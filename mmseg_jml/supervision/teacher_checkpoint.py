"""A frozen segmentor from a config and a checkpoint."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..imports import config_path
from ..random_state import random_state_kept
from .class_names import check_classes

__all__ = ['build_frozen', 'frozen_teacher', 'load_weights']

_NAMES_SHOWN = 5


def frozen_teacher(
    runner: Runner,
    student: nn.Module,
    config: str | dict | Config,
    checkpoint: str,
    strict: bool,
    compare_names: bool,
) -> nn.Module:
    """Build a frozen teacher of a run's student, on the student's device.

    It is a ValueError if its classes are not those of the student; their
    names are compared on demand. For the rest see :func:`build_frozen`.
    """
    model, known = build_frozen(config, checkpoint, strict)
    dataset = runner.train_loop.dataloader.dataset
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    check_classes(student, model, classes, known if compare_names else None)
    return model.to(next(student.parameters()).device)


def build_frozen(
    config: str | dict | Config, checkpoint: str, strict: bool
) -> tuple[nn.Module, list[str] | None]:
    """Build a segmentor that only predicts, and name its classes if known.

    It is in evaluation mode and has neither gradients nor SyncBN. Random
    numbers go on as if nothing had been built.

    Args:
        config (str | dict | Config): A config, its ``model``, or its path,
            also in an installed package: ``mmseg::pspnet/...``.
        checkpoint (str): Path or URL of a checkpoint.
        strict (bool): Whether every weight must fit. If not, the log names
            those that do not.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the config has no model, the checkpoint cannot be read
            or holds more than weights and plain values, or a weight does not
            fit; without ``strict``, if none fits.
    """
    model_config = _model_config(config)
    with random_state_kept():
        model = revert_sync_batchnorm(MODELS.build(model_config))
    classes = load_weights(model, checkpoint, strict)
    return model.eval().requires_grad_(False), classes


def _model_config(config: str | dict | Config) -> ConfigDict:
    if isinstance(config, (str, Path)):
        name = str(config)
        path = config_path(name)
        if path is None:
            raise FileNotFoundError(
                'Expected teacher to name a config of an installed package '
                f'but got {name!r}: there is no package '
                f'{name.partition("::")[0]!r}.'
            )
        if not path.is_file():
            raise FileNotFoundError(
                f'Expected teacher to be the path of a config but got '
                f'{name!r}, which is no file. A config of an installed '
                "package is 'mmseg::pspnet/pspnet_r50-...py'."
            )
        config = Config.fromfile(path)
    model = config.get('model', config)
    if 'decode_head' not in model:
        raise ValueError(
            'Expected teacher to be a config with a segmentor in model but '
            f'got one with the keys {", ".join(config) or "(none)"}.'
        )
    return ConfigDict(model)  # some heads read their config by attributes


def load_weights(
    model: nn.Module, checkpoint: str, strict: bool
) -> list[str] | None:
    """Load a checkpoint into a model, and name its classes if known.

    It is a state dict, or a dictionary with a ``state_dict``. The options and
    the errors are those of :func:`build_frozen`.
    """
    content = _read(checkpoint)
    state = content.get('state_dict', content)
    state = {re.sub(r'^module\.', '', k): v for k, v in state.items()}
    own = {k: _shape(v) for k, v in model.state_dict().items()}
    other = {k: _shape(v) for k, v in state.items()}
    fits = {k: state[k] for k in own if other.get(k) == own[k]}
    problems = _differences(own, other)
    message = (
        f'Expected the checkpoint {checkpoint!r} to have the weights of '
        f'the teacher but got {"; ".join(problems)}.'
    )
    if problems and (strict or not fits):
        way_out = ' strict=False loads what fits.' * bool(fits)
        raise ValueError(f'{message} Does it belong to this config?{way_out}')
    if problems:
        logging.getLogger('mmseg_jml').warning(message)
    model.load_state_dict(fits, strict=False)
    meta = content.get('meta') or {}
    # checkpoints of mmseg 0.x and of its first 1.x versions use capitals
    for place in (meta.get('dataset_meta') or {}, meta):
        for key in ('classes', 'CLASSES'):
            if place.get(key):
                return list(place[key])
    return None


@contextmanager
def _weights_only() -> Iterator[None]:
    """Load weights and plain values only, also below torch 2.6."""
    name = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    before = os.environ.get(name)
    os.environ[name] = '1'
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _read(checkpoint: str) -> Mapping:
    try:
        with _weights_only():
            content = CheckpointLoader.load_checkpoint(
                str(checkpoint), map_location='cpu'
            )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            'Expected checkpoint to be the path or URL of the weights of a '
            f'teacher but got {str(checkpoint)!r}: {error}'
        ) from error
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(
            f'Expected the checkpoint {str(checkpoint)!r} to hold weights and '
            'plain values, but it is out of reach, damaged, or holds objects '
            'of other classes, which are not loaded because loading them '
            f'could run code: {type(error).__name__}: {error}'
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(
            f'Expected the checkpoint {checkpoint!r} to be a dictionary but '
            f'got {type(content).__name__}.'
        )
    return content


def _differences(own: Mapping, other: Mapping) -> list[str]:
    shapes = [
        f'{name} {other[name]} for {shape}'
        for name, shape in own.items()
        if other.get(name, shape) != shape
    ]
    return [
        f'{len(names)} {what}: {", ".join(names[:_NAMES_SHOWN])}'
        + (', ...' if len(names) > _NAMES_SHOWN else '')
        for what, names in (
            ('missing', [name for name in own if name not in other]),
            ('unexpected', [name for name in other if name not in own]),
            ('of another shape', shapes),
        )
        if names
    ]


def _shape(value: Tensor) -> tuple | str:
    return tuple(value.shape) if torch.is_tensor(value) else repr(value)
