"""Weight decay for all parameters but biases, scales and shifts."""

from __future__ import annotations

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..registry import OPTIM_WRAPPER_CONSTRUCTORS

__all__ = ['FlatDecayConstructor']


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FlatDecayConstructor(DefaultOptimWrapperConstructor):
    """Build an optimizer that decays no one-dimensional parameter.

    Otherwise it is mmengine's constructor. In that one, a parameter that one
    of ``custom_keys`` matches obeys this key alone: with ten times the
    learning rate in the heads (``head=dict(lr_mult=10)``), their biases and
    norms decay whatever ``norm_decay_mult``, ``bias_decay_mult`` and
    ``flat_decay_mult`` say. Here they do not.

    Examples:
        >>> optim_wrapper = dict(
        ...     constructor='mmseg_jml.FlatDecayConstructor',
        ...     optimizer=dict(type='AdamW', lr=6e-5, weight_decay=0.01),
        ...     paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.0))),
        ... )
        >>> from mmengine.optim import build_optim_wrapper
        >>> model = nn.ModuleDict(dict(head=nn.Conv2d(3, 2, 1)))
        >>> wrapper = build_optim_wrapper(model, optim_wrapper)
        >>> [g['weight_decay'] for g in wrapper.optimizer.param_groups]
        [0.01, 0.0]
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: bool | None = None,
    ) -> None:
        """Add a module's parameters, one group each.

        Args:
            params (list[dict]): The groups; changed in place.
            module (nn.Module): The module.
            prefix (str, optional): Name of the module. Defaults to ''.
            is_dcn_module (bool, optional): Whether it is part of a deformable
                convolution. Defaults to None.
        """
        first = len(params)
        super().add_params(params, module, prefix, is_dcn_module)
        for group in params[first:]:
            if group['params'][0].ndim == 1:
                group['weight_decay'] = 0.0
