"""Batches of images without labels, beside those of the training loop."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..datasets.named_images import NamedImages
from ..datasets.numbered_batches import UNLABELED, NumberedBatches
from ..datasets.pixel_marks import FILLER, UNKNOWN
from ..random_state import common_seed, random_state_kept
from .class_names import same_names
from .options import refuse
from .weak_pipeline import give_pipeline

__all__ = ['UnlabeledImages', 'check_loader', 'valid_pixels']

_INHERITED = 'batch_size', 'num_workers', 'persistent_workers', 'pin_memory'
_SAMPLER = dict(type='InfiniteSampler', shuffle=True)


class UnlabeledImages:
    """Load a batch for each iteration that asks for one.

    The batch of an iteration is always the same, also in a run that was
    interrupted. Batch size, workers and the dataset's pipeline are those of
    the labelled images unless the config has its own; see
    :func:`give_pipeline`. Labels of images that have any are loaded too, to
    measure pseudo labels with.

    The runner has not trained yet, the preprocessor is that of the student,
    and the options are those of :class:`~mmseg_jml.PseudoLabelHook`.

    Attributes:
        batch (tuple[Tensor, list]): The batch loaded last: images
            (N, C, H, W), preprocessed and padded on the right and at the
            bottom, and their data samples. ``img_shape`` leaves the padding
            out; ``has_label`` tells whether any pixel has a label.

    Raises:
        ValueError: If there are no images, the config is none of a
            dataloader, or the classes are not those of the labelled images.
    """

    def __init__(
        self,
        runner: Runner,
        config: Mapping,
        preprocessor: nn.Module,
        check_classes: bool,
    ) -> None:
        self._preprocessor = preprocessor
        self._seed, self._next = common_seed(runner), 0
        self._sampler = config.get('sampler', _SAMPLER)
        labelled = runner.cfg.get('train_dataloader') or {}
        with random_state_kept():
            self._loader = _build(_complete(config, labelled), self._seed)
        if check_classes:
            _check_classes(self._loader, runner.train_dataloader)
        self.batch_size = self._loader.batch_size
        self._batches: NumberedBatches | None = None
        self.batch: tuple[Tensor, list]

    def load(self, iteration: int) -> None:
        """Load the batch of an iteration later than that of the last call.

        Raises:
            RuntimeError: If a file cannot be read, or a worker has died.
            ValueError: If the images of a batch do not fit together.
        """
        try:
            with random_state_kept():
                batch = self._at(iteration)
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
        for sample in batch['data_samples']:  # on the CPU, without a wait
            marks = getattr(sample, 'gt_sem_seg', None)
            known = marks is not None and bool((marks.data < UNKNOWN).any())
            sample.set_metainfo(dict(has_label=known))
        batch = self._preprocessor(batch, training=True)
        self.batch = batch['inputs'], batch['data_samples']

    def _at(self, iteration: int) -> dict:
        if self._batches is None:  # workers load from here on
            self._batches = NumberedBatches(
                self._loader, self._sampler, self._seed, UNLABELED, iteration
            )
        for _ in range(self._next, iteration):  # iterations that did not ask
            next(self._batches)
        self._next = iteration + 1
        return next(self._batches)

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


def check_loader(config: object) -> None:
    """Raise a ValueError unless ``unlabeled_dataloader`` has a dataset."""
    if not isinstance(config, Mapping) or 'dataset' not in config:
        refuse('unlabeled_dataloader', 'a dictionary with a dataset', config)


def _complete(config: Mapping, labelled: Mapping) -> dict:
    inherited = {key: labelled[key] for key in _INHERITED if key in labelled}
    own = copy.deepcopy(dict(config))
    if 'num_workers' in own:  # 0 forbids persistent workers
        inherited.pop('persistent_workers', None)
    full = {'sampler': _SAMPLER, **inherited, **own}
    give_pipeline(full['dataset'], labelled.get('dataset') or {})
    return full


def _build(config: dict, seed: int) -> DataLoader:
    message = (
        'Expected unlabeled_dataloader to list images but got {}. Check '
        'data_root, data_prefix and ann_file of unlabeled_dataloader.dataset.'
    )
    try:
        images = NamedImages(DATASETS.build(config['dataset']))
        loader = Runner.build_dataloader(dict(config, dataset=images), seed)
    except (OSError, ValueError, AssertionError) as error:
        got = f'{type(error).__name__}: {error}'
        raise ValueError(message.format(got)) from error
    if not len(loader.dataset):
        raise ValueError(message.format('none'))
    return loader


def _check_classes(unlabeled: DataLoader, labelled: DataLoader) -> None:
    names, expected = (
        getattr(loader.dataset, 'metainfo', {}).get('classes') or ()
        for loader in (unlabeled, labelled)
    )
    if not same_names(names, expected):
        raise ValueError(
            'Expected unlabeled_dataloader to have the '
            f'{len(expected)} classes of the labelled images '
            f'({", ".join(expected)}), or none, but got {len(names)} '
            f'({", ".join(names)}). If they mean the same, set '
            'check_classes=False.'
        )


def valid_pixels(inputs: Tensor, data_samples: Sequence) -> Tensor:
    """Return (N, H, W) bool, False on padding and on filled-in pixels.

    Images (N, C, H, W) are padded on the right and at the bottom, up to their
    ``img_shape``. The map of :class:`MarkPixels` tells what transforms filled
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
