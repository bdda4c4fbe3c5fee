"""A trained segmentor that answers for another one's batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

import torch
from torch import Tensor, nn

from ..functional import score_logits
from .student_outputs import (
    auxiliary_heads,
    is_main,
    named_heads,
    uses_sigmoid,
)

__all__ = ['Teacher']

# Their prediction is a sum of masks weighted by class probabilities.
QUERY_HEADS = {'MaskFormerHead', 'Mask2FormerHead', 'SideAdapterCLIPHead'}


class Teacher:
    """Runs a frozen segmentor on the preprocessed images of another.

    The images are normalised as the teacher knows them. The backbone runs
    once for all heads.

    Args:
        model (nn.Module): A frozen segmentor.
        preprocessor (nn.Module): The student's ``data_preprocessor``.
        amp (torch.dtype, optional): Precision of autocast. None runs in full
            precision, also where the student runs under autocast. Defaults to
            None.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessor: nn.Module,
        amp: torch.dtype | None = None,
    ) -> None:
        self.model = model
        self._amp = amp
        self._normalise = _normalisation(preprocessor, model.data_preprocessor)
        self._auxiliary = auxiliary_heads(model)
        main = _last_main_head(model)
        self._sigmoid = {'decode': uses_sigmoid(main)}
        for name, head in self._auxiliary.items():
            self._sigmoid[name] = uses_sigmoid(head)
        names = {base.__name__ for base in type(main).__mro__}
        self._returns_scores = bool(names & QUERY_HEADS)

    @property
    def outputs(self) -> list[str]:
        """``decode``, and the auxiliary heads as the log names them."""
        return list(self._sigmoid)

    @torch.no_grad()
    def __call__(
        self, inputs: Tensor, names: Iterable[str]
    ) -> dict[str, tuple[Tensor, bool]]:
        """Predicts.

        Args:
            inputs (Tensor): (N, 3, H, W), preprocessed for the student.
            names (Iterable[str]): Some of ``outputs``.

        Returns:
            dict[str, tuple[Tensor, bool]]: Float32 logits (N, C, h, w), and
            whether they are those of a sigmoid for each class.
        """
        with torch.autocast(
            inputs.device.type, self._amp, enabled=self._amp is not None
        ):
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
        features = []
        last = model.neck if model.with_neck else model.backbone
        handle = last.register_forward_hook(
            lambda module, args, output: features.append(output)
        )
        try:
            main = model.encode_decode(inputs, metas)
        finally:
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


def _last_main_head(model: nn.Module) -> nn.Module:
    heads = named_heads(model)
    return heads[[name for name in heads if is_main(name)][-1]]


def _normalisation(
    student: nn.Module, teacher: nn.Module
) -> Callable[[Tensor], Tensor]:
    """A function from the student's normalised images to the teacher's."""
    (mean, std, order), (new_mean, new_std, new_order) = map(
        _statistics, (student, teacher)
    )
    swap = order != new_order
    if swap:
        mean, std = _swapped(mean), _swapped(std)
    scale, shift = std / new_std, (mean - new_mean) / new_std
    if not swap and bool((scale == 1).all()) and not bool(shift.any()):
        return lambda images: images
    return lambda images: (
        (_swapped(images, 1) if swap else images) * scale + shift
    )


def _statistics(preprocessor: nn.Module) -> tuple[Tensor, Tensor, bool]:
    """Mean, deviation, and whether the order of channels is reversed."""
    reverse = any(
        getattr(preprocessor, name, False)
        for name in ('channel_conversion', '_channel_conversion')
    )
    if getattr(preprocessor, '_enable_normalize', False):
        return preprocessor.mean, preprocessor.std, reverse
    return torch.zeros(()), torch.ones(()), reverse


def _swapped(value: Tensor, dim: int = 0) -> Tensor:
    """RGB for BGR; what has not three channels stays, as in mmseg."""
    has_colours = value.ndim > dim and value.shape[dim] == 3
    return value.flip(dim) if has_colours else value
