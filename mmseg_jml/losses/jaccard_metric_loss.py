"""Jaccard metric losses as entries of a config."""

from __future__ import annotations

from dataclasses import fields

from torch import Tensor, nn

from mmseg_jml.functional import (
    LossParts,
    RegionLossOptions,
    check_label_smoothing,
    loss_parts,
    pixel_loss,
)
from mmseg_jml.functional.options import ActiveClasses
from mmseg_jml.kernels import Target

from .stock_arguments import (
    load_class_weight,
    note_once,
    take_stock_arguments,
)

__all__ = ['JaccardMetricCELoss', 'JaccardMetricLoss']

_OPTIONS = tuple(field.name for field in fields(RegionLossOptions))


class JaccardMetricLoss(nn.Module):
    """Jaccard metric loss (JML) for hard and soft labels.

    Takes the place of the cross-entropy in any stock config. The formula is
    that of :func:`mmseg_jml.functional.jaccard_metric_loss`, the options
    ``alpha`` to ``active_classes_mode_soft`` are those of
    :class:`mmseg_jml.functional.RegionLossOptions`.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.
        loss_name (str): Name in the log; a term without "loss" in its name
            is logged but not optimised. Defaults to 'loss_jml'.
        use_sigmoid (bool): One sigmoid per class in place of the softmax,
            for one-channel heads and multi-label targets. Defaults to False.
        class_weight (list[float] | str, optional): Weight of each class, or
            a .npy, .json or .yaml file with them. Defaults to None.
        ignore_index (int, optional): A label to ignore besides the one that
            the head passes. Defaults to None.
        alpha (float): Weight of false positives. Defaults to 1.0.
        beta (float): Weight of false negatives. Defaults to 1.0.
        gamma (float): Focal power of each class term. Defaults to 1.0.
        smooth (float): Added to numerator and denominator. Defaults to 1.0.
        norm (float): n of the sums of abs(.)^n. Defaults to 1.
        log_loss (bool): -log(index) in place of 1 - index. Defaults to
            False.
        variant (str): 'jml1' or 'jml2'. Defaults to 'jml1'.
        mIoUD (float): Share of the batch level. Defaults to 1.0.
        mIoUI (float): Share of the image level. Defaults to 0.0.
        mIoUC (float): Share of the class level. Defaults to 0.0.
        threshold (float): What makes a class active. Defaults to 0.01.
        active_classes_mode_hard (str | Sequence[int]): 'ALL', 'PRESENT',
            'PROB', 'LABEL', 'BOTH' or a list. Defaults to 'PRESENT'.
        active_classes_mode_soft (str | Sequence[int]): The same for soft and
            smoothed labels. Defaults to 'ALL'.
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
        TypeError: If an argument is unknown.
        ValueError: If a value has no meaning, with the value to use.

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
        label_smoothing: dict | None = None,
        sync: bool = False,
        impl: str = 'auto',
        check: bool | None = None,
        **stock,
    ) -> None:
        given = locals()
        super().__init__()
        self.options = RegionLossOptions(
            **{name: given[name] for name in _OPTIONS}
        )
        stock = take_stock_arguments(type(self).__name__, stock)
        self.avg_non_ignore = stock.get('avg_non_ignore', True)
        self.ignore_index = (
            stock.get('ignore_label') if ignore_index is None else ignore_index
        )
        self.loss_weight = loss_weight
        self.use_sigmoid = use_sigmoid
        self.label_smoothing = check_label_smoothing(label_smoothing)
        self.sync = sync
        self.impl = impl
        self.check = check
        self._loss_name = loss_name
        # Moves with the model, and stays out of its checkpoints.
        self.register_buffer(
            'class_weight', load_class_weight(class_weight), persistent=False
        )

    @property
    def loss_name(self) -> str:
        """Name of the term in the log."""
        return self._loss_name

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
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
        **kwargs,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            pred (Tensor): Logits (N, C, *); with two spatial dimensions they
                may be smaller than the label.
            target (Tensor | Target): Hard label (N, *) integers, soft label
                (N, C, *) floats in [0, 1], or a target of
                :mod:`mmseg_jml.kernels`.
            weight (Tensor, optional): Pixel weights (N, *); a pixel of
                weight 0 does not count. Defaults to None.
            avg_factor (float, optional): Divides the summed cross-entropy,
                where there is one. Defaults to None.
            reduction_override (str, optional): 'none' gives each pixel's own
                term (N, *), which samplers use to rank pixels. Defaults to
                None.
            ignore_index (int, optional): Label of ignored pixels. Defaults
                to 255.
            align_corners (bool): How a smaller ``pred`` is upsampled, as for
                ``F.interpolate``. Defaults to False.
            **kwargs: Accepted for heads that pass more, and not used.

        Returns:
            Tensor: A scalar, or (N, *) for 'none'.

        Raises:
            TypeError: If a dtype does not fit.
            ValueError: If a shape or value does not fit.
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
            pred, target, weight, avg_factor, ignore_index, align_corners
        ).loss

    def parts(
        self,
        pred: Tensor,
        target: Tensor | Target,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        ignore_index: int | None = 255,
        align_corners: bool = False,
        with_accuracy: bool = False,
    ) -> LossParts:
        """The loss of a batch, and what it is made of.

        Args:
            pred (Tensor): As for :meth:`forward`.
            target (Tensor | Target): As for :meth:`forward`.
            weight (Tensor, optional): Pixel weights. Defaults to None.
            avg_factor (float, optional): Divides the summed cross-entropy.
                Defaults to None.
            ignore_index (int, optional): Label of ignored pixels. Defaults
                to 255.
            align_corners (bool): How a smaller ``pred`` is upsampled.
                Defaults to False.
            with_accuracy (bool): Whether to give the accuracy, for hard
                labels. Defaults to False.

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
            align_corners=align_corners,
            with_accuracy=with_accuracy,
            impl=self.impl,
            **shared,
        )
        if self.loss_weight == 1:
            return parts
        return parts._replace(loss=self.loss_weight * parts.loss)

    def _shared(
        self, pred: Tensor, target: Tensor | Target, ignore_index: int | None
    ) -> tuple[Tensor | Target, dict]:
        """The target, and arguments that all forms of the loss take."""
        target, ignore_index = self._merge_ignored(pred, target, ignore_index)
        return target, dict(
            ce_weight=self.ce_weight,
            jml_weight=self.jml_weight,
            ignore_index=ignore_index,
            use_sigmoid=self.use_sigmoid,
            class_weight=self.class_weight,
            label_smoothing=self.label_smoothing,
            check=self.check,
        )

    def _merge_ignored(
        self, pred: Tensor, target: Tensor | Target, ignore_index: int | None
    ) -> tuple[Tensor | Target, int | None]:
        """One ignored label in place of the head's and the constructor's."""
        own = self.ignore_index
        if (
            own is None
            or own == ignore_index
            or not isinstance(target, Tensor)
            or target.ndim == pred.ndim
        ):
            return target, ignore_index
        if ignore_index is not None:
            target = target.masked_fill(target == ignore_index, own)
        return target, own


class JaccardMetricCELoss(JaccardMetricLoss):
    """Cross-entropy and Jaccard metric loss in one entry.

    ``ce_weight * CE + jml_weight * JML``, from one softmax. The defaults are
    the recipe of the Jaccard metric losses paper (arXiv 2302.05666) for the
    main head.

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
        **kwargs,
    ) -> None:
        if min(ce_weight, jml_weight) < 0 or ce_weight + jml_weight == 0:
            raise ValueError(
                'Expected ce_weight and jml_weight to be at least 0 and not '
                f'both 0, but got {ce_weight} and {jml_weight}'
            )
        super().__init__(loss_name=loss_name, **kwargs)
        self.ce_weight = ce_weight
        self.jml_weight = jml_weight

    def extra_repr(self) -> str:
        """The settings, for ``print(model)``."""
        return (
            f'ce_weight={self.ce_weight}, jml_weight={self.jml_weight}, '
            f'{super().extra_repr()}'
        )
