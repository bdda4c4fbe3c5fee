"""A frozen segmentor from a config and a checkpoint."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

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
    config: str | dict | Config, checkpoint: str, strict: bool = True
) -> tuple[nn.Module, list[str] | None]:
    """Build a segmentor that only predicts, and name its classes if known.

    It is in evaluation mode and has neither gradients nor SyncBN. Random
    numbers go on as if nothing had been built.

    Args:
        config (str | dict | Config): A config, its ``model``, or its path,
            also in an installed package: ``mmseg::pspnet/...``.
        checkpoint (str): Path or URL of a checkpoint.
        strict (bool): Whether every weight must fit. Defaults to True.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the config has no model, or the checkpoint does not
            fit or cannot be read.
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
    model: nn.Module, checkpoint: str, strict: bool = True
) -> list[str] | None:
    """Load a checkpoint into a model, and name its classes if known.

    Args:
        model (nn.Module): The model.
        checkpoint (str): Path or URL of a checkpoint with a ``state_dict``,
            or of a state dict.
        strict (bool): Whether every weight must fit. If not, the log names
            those that do not. Defaults to True.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or holds more than weights and plain
            values; if a weight does not fit or, without ``strict``, if none
            fits.
    """
    content = _read(checkpoint)
    state = content.get('state_dict', content)
    state = {re.sub(r'^module\.', '', k): v for k, v in state.items()}
    own = model.state_dict()
    fits = {
        name: state[name]
        for name, value in own.items()
        if name in state and _shape(state[name]) == _shape(value)
    }
    problems = _differences(own, state)
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


def _read(checkpoint: str) -> Mapping:
    # torch below 2.6 would unpickle any object
    weights_only = patch.dict(os.environ, TORCH_FORCE_WEIGHTS_ONLY_LOAD='1')
    try:
        with weights_only:
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
        f'{name} {_shape(other[name])} for {_shape(own[name])}'
        for name in own
        if name in other and _shape(own[name]) != _shape(other[name])
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
