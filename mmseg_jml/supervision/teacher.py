"""A segmentor that predicts for the batches of another one."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Callable

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..functional import score_logits
from ..heads import auxiliary_heads, facts_of, predicting_head, uses_sigmoid
from ..normalisation import Normalisation, swap_channels
from ..stand_in import replaced

__all__ = ['Teacher']


class Teacher:
    """Run a segmentor on the student's preprocessed images.

    The images are normalised as the teacher's own config says. The backbone
    runs once for all heads.

    Args:
        model (BaseModel): A segmentor, which may be the student itself; it
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
        model: BaseModel,
        preprocessor: nn.Module,
        amp: torch.dtype | None = None,
        inherit_amp: bool = False,
        keeps_size: bool = False,
    ) -> None:
        self.model = model
        self.amp, self._inherit_amp = amp, inherit_amp
        self._normalise = _normalisation(preprocessor, model.data_preprocessor)
        self._auxiliary = auxiliary_heads(model)
        main = predicting_head(model)
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
        self._returns_scores = facts_of(main).predicts_scores

    @property
    def outputs(self) -> list[str]:
        """``decode``, and the auxiliary heads as the log names them."""
        return list(self._sigmoid)

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
        precision: AbstractContextManager = nullcontext()
        if not self._inherit_amp:
            precision = torch.autocast(
                inputs.device.type, self.amp, enabled=self.amp is not None
            )
        with precision, replaced(*self.model.modules(), training=False):
            logits = self._predict(self._normalise(inputs), set(names))
        return {
            name: (value.float(), self._sigmoid[name])
            for name, value in logits.items()
        }

    def _predict(self, inputs: Tensor, names: set[str]) -> dict[str, Tensor]:
        model, size = self.model, inputs.shape[2:]
        meta = dict(ori_shape=size, img_shape=size, pad_shape=size)
        metas = [dict(meta, padding_size=[0] * 4)] * len(inputs)
        features: list = []
        recording: AbstractContextManager = nullcontext()
        if names - {'decode'}:  # SAN has neither neck nor these heads
            last = model.neck if model.with_neck else model.backbone
            recording = last.register_forward_hook(
                lambda module, args, output: features.append(output)
            )
        with recording:
            main = model.encode_decode(inputs, metas)
        if self._returns_scores:
            main = score_logits(main.float())
        logits = {'decode': main}
        for name in names - {'decode'}:
            logits[name] = self._auxiliary[name].predict(
                features[0], metas, model.test_cfg
            )
        return {name: logits[name] for name in names}


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
