"""Batches of images without labels, beside those of the training loop."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping

import torch
from mmengine.dist import get_rank
from mmengine.runner import Runner
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..datasets.named_images import NamedImages
from ..datasets.numbered_batches import NumberedBatches
from ..random_state import random_state_kept
from .exact_resume_hook import common_seed

__all__ = ['UnlabeledImages', 'valid_pixels', 'weak_pipeline']

# Apart from the labelled samples of ExactResumeHook.
_UNLABELED = 2
_INHERITED = 'batch_size', 'num_workers', 'persistent_workers', 'pin_memory'
_PLACE, _LABEL, _PACK = (
    (
        *('RandomResize', 'RandomChoiceResize', 'Resize', 'RandomCrop'),
        *('RandomFlip', 'RandomRotate', 'RandomRotFlip', 'RandomCutOut'),
    ),
    'LoadAnnotations',
    'PackSegInputs',
)


class UnlabeledImages:
    """Endless batches that go on where a run was interrupted.

    What the configuration leaves out is as for the labelled images: batch
    size, workers and, in the dataset, the pipeline, of which those transforms
    stay that load images and move their pixels. Labels are loaded where there
    are any, to measure pseudo labels with.

    Args:
        runner (Runner): The runner, at the iteration where it goes on.
        config (dict): A dataloader, with its dataset.
        preprocessor (nn.Module): The student's ``data_preprocessor``.

    Raises:
        ValueError: If there are no images, the configuration is not one of a
            dataloader, or the classes are not those of the labelled images.
    """

    def __init__(
        self, runner: Runner, config: Mapping, preprocessor: nn.Module
    ) -> None:
        self._preprocessor = preprocessor
        seed = common_seed(runner)
        labelled = runner.cfg.get('train_dataloader') or {}
        with random_state_kept():
            loader = _build(_complete(config, labelled), seed)
            if 'pipeline' not in config['dataset'] and _has_labels(loader):
                full = _complete(config, labelled, with_labels=True)
                loader = _build(full, seed)
            _check_classes(loader, runner.train_dataloader)
            sampler = config.get('sampler', _SAMPLER)
            self._batches = NumberedBatches(
                loader,
                DATA_SAMPLERS.build(
                    sampler,
                    default_args=dict(dataset=loader.dataset, seed=seed),
                ),
                key=(seed, _UNLABELED, get_rank()),
                trained=runner.iter,
            )
            self._batches.skip_iter(runner.iter)

    def __iter__(self) -> Iterator[tuple[Tensor, list]]:
        return self

    def __next__(self) -> tuple[Tensor, list]:
        """The next batch.

        Returns:
            tuple[Tensor, list]: Images (N, C, H, W), preprocessed and padded
            on the right and at the bottom, and their data samples, whose
            ``img_shape`` leaves the padding out.

        Raises:
            RuntimeError: If a file cannot be read, or a worker has died.
            ValueError: If the images of a batch do not fit together.
        """
        try:
            with random_state_kept():
                batch = next(self._batches)
        except Exception as error:  # of any transform, in any process
            raise RuntimeError(
                'Expected unlabeled_dataloader to give the next images but '
                f'got {type(error).__name__}: {error}. Once this is mended '
                'the run resumes from its last checkpoint.'
            ) from error
        self._check_sizes(batch['inputs'])
        batch = self._preprocessor(batch, training=True)
        return batch['inputs'], batch['data_samples']

    def _check_sizes(self, inputs: list[Tensor]) -> None:
        size = getattr(self._preprocessor, 'size', None)
        if size is None:
            return
        for image in inputs:
            if image.shape[1] > size[0] or image.shape[2] > size[1]:
                raise ValueError(
                    'Expected the pipeline of unlabeled_dataloader to crop '
                    f'images to data_preprocessor.size={tuple(size)} at most '
                    f'but got one of {tuple(image.shape[1:])}. Let it end '
                    'with RandomCrop.'
                )


def weak_pipeline(
    labelled: list[Mapping], with_labels: bool = False
) -> list[dict]:
    """The part of a training pipeline that needs no label.

    Args:
        labelled (list[Mapping]): Transforms of labelled images.
        with_labels (bool): Whether to load labels too. Defaults to False.

    Returns:
        list[dict]: Those that load, resize, crop, turn and pack images.

    Examples:
        >>> stock = [
        ...     dict(type='LoadImageFromFile'),
        ...     dict(type='LoadAnnotations'),
        ...     dict(type='RandomCrop', crop_size=(64, 64)),
        ...     dict(type='PhotoMetricDistortion'),
        ...     dict(type='PackSegInputs'),
        ... ]
        >>> [transform['type'] for transform in weak_pipeline(stock)]
        ['LoadImageFromFile', 'RandomCrop', 'PackSegInputs']
    """
    kept = []
    for transform in copy.deepcopy(labelled):
        name = transform['type'].rpartition('.')[2]
        loads = 'Load' in name and not ('Annotation' in name or 'Soft' in name)
        if name == 'RandomCrop':
            transform['cat_max_ratio'] = 1.0  # must not depend on a label
        if loads or name in _PLACE or (name == _LABEL and with_labels):
            kept.append(transform)
    return [*kept, dict(type=_PACK)]


_SAMPLER = dict(type='InfiniteSampler', shuffle=True)


def _complete(
    config: Mapping, labelled: Mapping, with_labels: bool = False
) -> dict:
    inherited = {key: labelled[key] for key in _INHERITED if key in labelled}
    own = copy.deepcopy(dict(config))
    if 'num_workers' in own:  # 0 forbids persistent ones
        inherited.pop('persistent_workers', None)
    full = dict(sampler=_SAMPLER, **inherited) | own
    pipeline = _first_pipeline(labelled.get('dataset', {}))
    _give_pipeline(full['dataset'], weak_pipeline(pipeline, with_labels))
    return full


def _first_pipeline(dataset: Mapping) -> list:
    while 'pipeline' not in dataset:
        inner = dataset.get('dataset', dataset.get('datasets', [None])[0])
        if inner is None:
            return []
        dataset = inner
    return dataset['pipeline']


def _give_pipeline(dataset: dict, pipeline: list[dict]) -> None:
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if inner == [None]:
        dataset.setdefault('pipeline', pipeline)
        return
    for part in inner:
        _give_pipeline(part, pipeline)


def _build(config: dict, seed: int) -> DataLoader:
    hint = (
        'Check data_root, data_prefix and ann_file of '
        'unlabeled_dataloader.dataset.'
    )
    try:
        images = NamedImages(DATASETS.build(config['dataset']))
        loader = Runner.build_dataloader(dict(config, dataset=images), seed)
    except (OSError, ValueError, AssertionError) as error:
        raise ValueError(
            'Expected unlabeled_dataloader to list images but got '
            f'{type(error).__name__}: {error}. {hint}'
        ) from error
    if not len(loader.dataset):
        raise ValueError(
            'Expected unlabeled_dataloader to list images but got none. '
            + hint
        )
    return loader


def _has_labels(loader: DataLoader) -> bool:
    info = loader.dataset.dataset.get_data_info(0)
    return os.path.isfile(info.get('seg_map_path') or '')


def _check_classes(unlabeled: DataLoader, labelled: DataLoader) -> None:
    names, expected = (
        getattr(dataset, 'metainfo', {}).get('classes')
        for dataset in (unlabeled.dataset.dataset, labelled.dataset)
    )
    if names and expected and tuple(names) != tuple(expected):
        raise ValueError(
            'Expected unlabeled_dataloader to have the '
            f'{len(expected)} classes of the labelled images '
            f'({", ".join(expected)}), or none, but got {len(names)} '
            f'({", ".join(names)}).'
        )


def valid_pixels(inputs: Tensor, data_samples: list) -> Tensor:
    """The pixels that are not padding.

    Args:
        inputs (Tensor): (N, C, H, W), padded on the right and at the bottom.
        data_samples (list[SegDataSample]): With ``img_shape``.

    Returns:
        Tensor: (N, H, W) bool.
    """
    valid = torch.zeros_like(inputs[:, 0], dtype=torch.bool)
    for mask, sample in zip(valid, data_samples):
        height, width = sample.img_shape[:2]
        mask[:height, :width] = True
    return valid
