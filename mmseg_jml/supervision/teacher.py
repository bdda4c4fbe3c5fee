"""A segmentor that predicts for the batches of another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Callable

import torch
from torch import Tensor, nn

from ..functional import score_logits
from ..heads import (
    auxiliary_heads,
    is_main,
    named_heads,
    predicts_scores,
    uses_sigmoid,
)
from ..normalisation import Normalisation, swap_channels

__all__ = ['Teacher']


class Teacher:
    """Run a segmentor on the student's preprocessed images.

    The images are normalised as the teacher's own config says. The backbone
    runs once for all heads.

    Args:
        model (nn.Module): A segmentor, which may be the student itself; it
            predicts in evaluation mode.
        preprocessor (nn.Module): The student's ``data_preprocessor``.
        amp (torch.dtype, optional): Precision of autocast. None runs in full
            precision, also where the student runs under autocast. Defaults to
            None.
        inherit_amp (bool): Whether to run under the student's autocast, in
            place of ``amp``. Defaults to False.
        keeps_size (bool): Whether logits stay at the resolution of the heads,
            where mmseg's method would resize them. This changes the model,
            which nobody else may use then. Defaults to False.

    Attributes:
        align_corners (dict[str, bool]): How each output is upsampled.
        amp (torch.dtype | None): As given.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessor: nn.Module,
        amp: torch.dtype | None = None,
        inherit_amp: bool = False,
        keeps_size: bool = False,
    ) -> None:
        self.model = model
        self.amp, self._inherit_amp = amp, inherit_amp
        self._normalise = _normalisation(preprocessor, model.data_preprocessor)
        self._auxiliary = auxiliary_heads(model)
        main = _last_main_head(model)
        heads = dict(decode=main, **self._auxiliary)
        self._sigmoid = {k: uses_sigmoid(head) for k, head in heads.items()}
        self.align_corners = {
            name: getattr(head, 'align_corners', False)
            for name, head in heads.items()
        }
        if keeps_size:
            # importing mmseg.models takes seconds
            from ..head_resolution.prediction import predict_small

            for head in heads.values():
                predict_small(head)
        self._returns_scores = predicts_scores(main)

    @property
    def outputs(self) -> list[str]:
        """``decode``, and the auxiliary heads as the log names them."""
        return list(self._sigmoid)

    @property
    def is_sigmoid(self) -> bool:
        """Whether the logits of ``decode`` are those of sigmoids."""
        return self._sigmoid['decode']

    @torch.no_grad()
    def __call__(
        self, inputs: Tensor, names: Iterable[str]
    ) -> dict[str, tuple[Tensor, bool]]:
        """Predict the logits of a batch.

        Args:
            inputs (Tensor): (N, 3, H, W), preprocessed for the student.
            names (Iterable[str]): Some of ``outputs``.

        Returns:
            dict[str, tuple[Tensor, bool]]: For each output float32 logits
            (N, C, h, w), and whether each class has a sigmoid of its own.
        """
        autocast = (
            nullcontext()
            if self._inherit_amp
            else torch.autocast(
                inputs.device.type, self.amp, enabled=self.amp is not None
            )
        )
        with autocast, _evaluating(self.model):
            logits = self._predict(self._normalise(inputs), set(names))
        return {
            name: (value.float(), self._sigmoid[name])
            for name, value in logits.items()
        }

    def _predict(self, inputs: Tensor, names: set[str]) -> dict[str, Tensor]:
        model, size = self.model, inputs.shape[2:]
        meta = dict(
            ori_shape=size,
            img_shape=size,
            pad_shape=size,
            padding_size=[0] * 4,
        )
        metas = [meta] * len(inputs)
        features, handles = [], []
        if names - {'decode'}:  # SAN has neither neck nor these heads
            last = model.neck if model.with_neck else model.backbone
            handles.append(
                last.register_forward_hook(
                    lambda module, args, output: features.append(output)
                )
            )
        try:
            main = model.encode_decode(inputs, metas)
        finally:
            for handle in handles:
                handle.remove()
        logits = {
            'decode': score_logits(main.float())
            if self._returns_scores
            else main
        }
        for name in names - {'decode'}:
            logits[name] = self._auxiliary[name].predict(
                features[0], metas, model.test_cfg
            )
        return {name: logits[name] for name in names}


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode, and back to training afterwards."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _last_main_head(model: nn.Module) -> nn.Module:
    heads = named_heads(model)
    return heads[[name for name in heads if is_main(name)][-1]]


def _normalisation(
    student: nn.Module, teacher: nn.Module
) -> Callable[[Tensor], Tensor]:
    """Map images from the student's normalisation to the teacher's."""
    own, new = map(Normalisation.of, (student, teacher))
    swap = own.is_rgb != new.is_rgb
    if swap:
        own = own.swapped()
    scale, shift = own.std / new.std, (own.mean - new.mean) / new.std
    if not swap and bool((scale == 1).all()) and not bool(shift.any()):
        return lambda images: images
    return lambda images: (
        (swap_channels(images) if swap else images) * scale + shift
    )
