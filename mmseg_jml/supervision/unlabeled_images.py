"""Batches of images without labels, beside those of the training loop."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from mmengine.dist import get_rank
from mmengine.runner import Runner
from mmseg.registry import DATA_SAMPLERS, DATASETS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..datasets.named_images import NamedImages
from ..datasets.numbered_batches import NumberedBatches
from ..datasets.pixel_marks import FILLER, UNKNOWN
from ..random_state import common_seed, random_state_kept
from .class_names import same_names
from .weak_pipeline import give_pipeline

__all__ = ['UnlabeledImages', 'valid_pixels']

# Apart from the labelled samples of ExactResumeHook.
_UNLABELED = 2
_INHERITED = 'batch_size', 'num_workers', 'persistent_workers', 'pin_memory'
_SAMPLER = dict(type='InfiniteSampler', shuffle=True)


class UnlabeledImages:
    """Endless batches that go on where a run was interrupted.

    What the configuration leaves out is as for the labelled images: batch
    size, workers and, in the dataset, the pipeline, of which those transforms
    stay that load images and move their pixels. Labels are loaded for those
    images that have any, to measure pseudo labels with.

    Args:
        runner (Runner): The runner, at the iteration where it goes on.
        config (dict): A dataloader, with its dataset.
        preprocessor (nn.Module): The student's ``data_preprocessor``.
        check_classes (bool): Whether to compare the names of the classes with
            those of the labelled images. Defaults to True.

    Raises:
        ValueError: If there are no images, the configuration is not one of a
            dataloader, or the classes are not those of the labelled images.
    """

    def __init__(
        self,
        runner: Runner,
        config: Mapping,
        preprocessor: nn.Module,
        check_classes: bool = True,
    ) -> None:
        self._preprocessor = preprocessor
        seed = common_seed(runner)
        labelled = runner.cfg.get('train_dataloader') or {}
        with random_state_kept():
            loader = _build(_complete(config, labelled), seed)
            if check_classes:
                _check_classes(loader, runner.train_dataloader)
            sampler = config.get('sampler', _SAMPLER)
            self.batch_size = loader.batch_size
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
            ``img_shape`` leaves the padding out. ``has_label`` tells whether
            some of the pixels have a label.

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
        if not {'inputs', 'data_samples'} <= batch.keys():
            raise ValueError(
                'Expected the pipeline of unlabeled_dataloader.dataset to '
                'give inputs and data_samples but got '
                f'{", ".join(batch)}. Let it end with PackSegInputs.'
            )
        self._check_sizes(batch['inputs'])
        for sample in batch['data_samples']:
            _note_labels(sample)
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


def _complete(config: Mapping, labelled: Mapping) -> dict:
    inherited = {key: labelled[key] for key in _INHERITED if key in labelled}
    own = copy.deepcopy(dict(config))
    if 'num_workers' in own:  # 0 forbids persistent ones
        inherited.pop('persistent_workers', None)
    full = {'sampler': _SAMPLER, **inherited, **own}
    give_pipeline(full['dataset'], labelled.get('dataset') or {})
    return full


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


def _check_classes(unlabeled: DataLoader, labelled: DataLoader) -> None:
    names, expected = (
        getattr(dataset, 'metainfo', {}).get('classes')
        for dataset in (unlabeled.dataset.dataset, labelled.dataset)
    )
    if not same_names(names, expected):
        raise ValueError(
            'Expected unlabeled_dataloader to have the '
            f'{len(expected)} classes of the labelled images '
            f'({", ".join(expected)}), or none, but got {len(names)} '
            f'({", ".join(names)}). If they mean the same, set '
            'check_classes=False.'
        )


def _note_labels(sample: SegDataSample) -> None:
    """Says whether there is a label, while that makes no GPU wait."""
    marks = getattr(sample, 'gt_sem_seg', None)
    known = marks is not None and bool((marks.data < UNKNOWN).any())
    sample.set_metainfo(dict(has_label=known))


def valid_pixels(inputs: Tensor, data_samples: list) -> Tensor:
    """The pixels that are those of an image.

    Args:
        inputs (Tensor): (N, C, H, W), padded on the right and at the bottom.
        data_samples (list[SegDataSample]): With ``img_shape`` and, where
            :class:`MarkPixels` was in the pipeline, its map.

    Returns:
        Tensor: (N, H, W) bool, False on padding and what transforms filled
        in.
    """
    valid = torch.zeros_like(inputs[:, 0], dtype=torch.bool)
    for mask, sample in zip(valid, data_samples):
        height, width = sample.img_shape[:2]
        mask[:height, :width] = True
        marks = getattr(sample, 'gt_sem_seg', None)
        if marks is not None and marks.data.shape[1:] == mask.shape:
            mask &= marks.data[0] != FILLER
    return valid
