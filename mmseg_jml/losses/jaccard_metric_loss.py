"""Jaccard metric losses as entries of a config."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmseg_jml.functional import (
    ActiveClasses,
    LossParts,
    RegionLossOptions,
    check_at_least,
    check_integers,
    check_label_smoothing,
    loss_parts,
    pixel_loss,
)
from mmseg_jml.kernels import Target, check_implementation

from .class_weight import load_class_weight
from .loss_entry import LossEntry
from .stock_arguments import note_once, take_stock_arguments

__all__ = ['JaccardMetricCELoss', 'JaccardMetricLoss']


class JaccardMetricLoss(LossEntry):
    """Jaccard metric loss (JML) for hard and soft labels.

    It takes the place of the cross-entropy in any stock config. It is that of
    "Jaccard Metric Losses: Optimizing the Jaccard Index with Soft Labels"
    (arXiv 2302.05666); the formula is that of
    :func:`mmseg_jml.functional.jaccard_metric_loss`. The options
    ``alpha`` to ``active_classes_mode_soft`` are those of
    :class:`mmseg_jml.functional.RegionLossOptions`, with the same defaults:

    - ``alpha``, ``beta``, ``smooth``, ``norm`` and ``variant`` choose the
      index: Jaccard, Dice, Tversky, or a squared form of one.
    - ``gamma`` and ``log_loss`` turn an index into a term of the loss: focal
      power, and -log(index) in place of 1 - index.
    - ``mIoUD``, ``mIoUI`` and ``mIoUC`` weigh the levels: the index of the
      whole batch, of each image, and of each class in each image.
    - ``active_classes_mode_hard``, ``active_classes_mode_soft`` and
      ``threshold`` choose the classes that are averaged.

    Args:
        loss_weight (float): Factor of the loss, at least 0. Defaults to 1.0.
        loss_name (str): Name in the log; a term without "loss" in its name
            is logged but not optimised. Defaults to 'loss_jml'.
        use_sigmoid (bool): One sigmoid per class in place of the softmax,
            for one-channel heads and multi-label targets. Defaults to False.
        class_weight (list[float] | str, optional): Weights of the classes, or
            a .npy, .json or .yaml file with them. Defaults to None.
        ignore_index (int, optional): A label to ignore besides the one that
            the head passes. Defaults to None.
        label_smoothing (dict, optional): Smooths hard labels as
            :func:`mmseg_jml.functional.smooth_label` does:
            ``dict(mode='neighbours', epsilon=0.5, kernel_size=3)``, the same
            with ``mode='boundary'``, or ``dict(mode='uniform',
            epsilon=0.1)``. Defaults to None.
        sync (bool): Whether the loss is that of the global batch under
            distributed training. Defaults to False.
        impl (str): Implementation of the region sums. Defaults to 'auto'.
        check (bool, optional): Whether to check the values of targets. None
            checks them, on CUDA some batches and without waiting for the
            device. Defaults to None.
        **stock: Arguments that stock loss entries leave behind when a config
            is merged (``reduction='mean'``, ``avg_non_ignore``, ``thres``,
            ``min_kept`` ...). Those without a meaning here are named once in
            the log.

    Raises:
        TypeError: If an argument is unknown or of a wrong type.
        ValueError: If a value is out of range; the message says what fits.

    Examples:
        >>> import torch
        >>> loss = JaccardMetricLoss()
        >>> logits = torch.zeros(1, 2, 4, 4)
        >>> label = torch.zeros(1, 4, 4, dtype=torch.long)
        >>> loss(logits, label)
        tensor(0.4706)
    """

    ce_weight = 0.0
    jml_weight = 1.0

    def __init__(
        self,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_jml',
        use_sigmoid: bool = False,
        class_weight: list[float] | str | None = None,
        ignore_index: int | None = None,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        smooth: float = 1.0,
        norm: float = 1,
        log_loss: bool = False,
        variant: str = 'jml1',
        mIoUD: float = 1.0,  # noqa: N803
        mIoUI: float = 0.0,  # noqa: N803
        mIoUC: float = 0.0,  # noqa: N803
        threshold: float = 0.01,
        active_classes_mode_hard: ActiveClasses = 'PRESENT',
        active_classes_mode_soft: ActiveClasses = 'ALL',
        label_smoothing: dict[str, Any] | None = None,
        sync: bool = False,
        impl: str = 'auto',
        check: bool | None = None,
        **stock: Any,
    ) -> None:
        used = take_stock_arguments(type(self).__name__, stock)
        super().__init__(loss_weight, loss_name, unknown=stock)
        self.options = RegionLossOptions(
            alpha=alpha,
            beta=beta,
            gamma=gamma,
            smooth=smooth,
            norm=norm,
            log_loss=log_loss,
            variant=variant,
            mIoUD=mIoUD,
            mIoUI=mIoUI,
            mIoUC=mIoUC,
            threshold=threshold,
            active_classes_mode_hard=active_classes_mode_hard,
            active_classes_mode_soft=active_classes_mode_soft,
        )
        self.avg_non_ignore = used.get('avg_non_ignore', True)
        ignore_label = used.get('ignore_label')
        check_integers(ignore_index=ignore_index, ignore_label=ignore_label)
        self.ignore_index = ignore_index
        if ignore_index is None:
            self.ignore_index = ignore_label
        self.use_sigmoid = use_sigmoid
        self.label_smoothing = check_label_smoothing(label_smoothing)
        check_implementation(impl)
        self.sync = sync
        self.impl = impl
        self.check = check
        # Moves with the model, and stays out of its checkpoints.
        self.register_buffer(
            'class_weight', load_class_weight(class_weight), persistent=False
        )

    def extra_repr(self) -> str:
        """Return the settings, for ``print(model)``."""
        return (
            f'loss_weight={self.loss_weight}, '
            f'use_sigmoid={self.use_sigmoid}, '
            f'label_smoothing={self.label_smoothing}, {self.options}'
        )

    def forward(
        self,
        pred: Tensor,
        target: Tensor | Target,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = 255,
        align_corners: bool = False,
        **kwargs: Any,
    ) -> Tensor:
        """Compute the loss of a batch.

        The other arguments and the errors are those of
        :func:`mmseg_jml.functional.loss_parts`, with the same defaults.

        Args:
            pred (Tensor): Logits (N, C, *).
            reduction_override (str, optional): 'none' returns
                :func:`mmseg_jml.functional.pixel_loss`, by which samplers
                rank pixels. Defaults to None.
            **kwargs: More arguments that heads pass to losses; unused.

        Returns:
            Tensor: A scalar, or (N, *) for 'none'.
        """
        if reduction_override not in (None, 'mean', 'none'):
            raise ValueError(
                "Expected reduction_override to be None, 'mean' or 'none', "
                f'but got {reduction_override!r}: an index over pixels has '
                'no sum'
            )
        if reduction_override == 'none':
            target, shared = self._shared(pred, target, ignore_index)
            return self.loss_weight * pixel_loss(
                pred, target, weight, align_corners=align_corners, **shared
            )
        return self.parts(
            pred,
            target,
            weight,
            avg_factor,
            ignore_index,
            align_corners=align_corners,
        ).loss

    def parts(
        self,
        pred: Tensor,
        target: Tensor | Target,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        ignore_index: int | None = 255,
        **arguments: Any,
    ) -> LossParts:
        """Compute the loss of a batch, and what it is made of.

        The arguments and the errors are those of
        :func:`mmseg_jml.functional.loss_parts`, with the same defaults. The
        constructor has set most of them; ``arguments`` may hold
        ``align_corners`` and ``with_accuracy``.

        Returns:
            LossParts: ``loss`` is what :meth:`forward` returns; the other
            parts are without ``loss_weight``.
        """
        if avg_factor is not None and self.ce_weight == 0:
            note_once(type(self).__name__, 'avg_factor')
        target, shared = self._shared(pred, target, ignore_index)
        parts = loss_parts(
            pred,
            target,
            weight,
            options=self.options,
            avg_factor=avg_factor,
            avg_non_ignore=self.avg_non_ignore,
            sync=self.sync,
            impl=self.impl,
            **shared,
            **arguments,
        )
        if self.loss_weight == 1:
            return parts
        return parts._replace(loss=self.loss_weight * parts.loss)

    def one_ignored(
        self, label: Tensor, ignore_index: int | None
    ) -> tuple[Tensor, int | None]:
        """Let one value stand for all that is ignored in a hard label.

        The head and the constructor may ignore different values. The head's,
        ``ignore_index``, then becomes the constructor's in the label.

        Args:
            label (Tensor): (N, *) integers.
            ignore_index (int, optional): The head's value.

        Returns:
            tuple[Tensor, int | None]: The label, of the same shape and dtype,
            and the value.
        """
        own = self.ignore_index
        if own in (None, ignore_index):
            return label, ignore_index
        if ignore_index is not None:
            label = label.masked_fill(label == ignore_index, own)
        return label, own

    def _shared(
        self, pred: Tensor, target: Tensor | Target, ignore_index: int | None
    ) -> tuple[Tensor | Target, dict[str, Any]]:
        """Return the target, and the arguments that both reductions take."""
        if isinstance(target, Tensor) and target.ndim < pred.ndim:
            target, ignore_index = self.one_ignored(target, ignore_index)
        return target, dict(
            ce_weight=self.ce_weight,
            jml_weight=self.jml_weight,
            ignore_index=ignore_index,
            use_sigmoid=self.use_sigmoid,
            class_weight=self.class_weight,
            label_smoothing=self.label_smoothing,
            check=self.check,
        )


class JaccardMetricCELoss(JaccardMetricLoss):
    """Cross-entropy and Jaccard metric loss in one entry.

    ``ce_weight * CE + jml_weight * JML``, from one softmax. The defaults are
    the recipe for the main head of "Jaccard Metric Losses: Optimizing the
    Jaccard Index with Soft Labels" (arXiv 2302.05666).

    Args:
        ce_weight (float): Factor of the cross-entropy. Defaults to 0.25.
        jml_weight (float): Factor of the Jaccard metric loss. Defaults to
            0.75.
        loss_name (str): Name in the log. Defaults to 'loss_jml_ce'.
        **kwargs: Every other argument of :class:`JaccardMetricLoss`. Label
            smoothing and class weights act on both terms;
            ``avg_non_ignore=False`` divides the cross-entropy by all pixels,
            as mmseg's does.

    Raises:
        ValueError: If a weight is negative or both are 0.

    Examples:
        >>> import torch
        >>> loss = JaccardMetricCELoss(ce_weight=1.0, jml_weight=0.0)
        >>> logits = torch.zeros(1, 2, 4, 4)
        >>> label = torch.zeros(1, 4, 4, dtype=torch.long)
        >>> loss(logits, label)
        tensor(0.6931)
    """

    def __init__(
        self,
        ce_weight: float = 0.25,
        jml_weight: float = 0.75,
        loss_name: str = 'loss_jml_ce',
        **kwargs: Any,
    ) -> None:
        check_at_least(0, ce_weight=ce_weight, jml_weight=jml_weight)
        if ce_weight == jml_weight == 0:
            raise ValueError(
                'Expected ce_weight or jml_weight to be above 0, but got 0 '
                'for both; to switch the loss off take loss_weight=0'
            )
        super().__init__(loss_name=loss_name, **kwargs)
        self.ce_weight = ce_weight
        self.jml_weight = jml_weight

    def extra_repr(self) -> str:
        """Return the settings, for ``print(model)``."""
        return (
            f'ce_weight={self.ce_weight}, jml_weight={self.jml_weight}, '
            f'{super().extra_repr()}'
        )
