"""What the installed stack cannot run, with the reason that it gives."""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distributions, version

import mmcv

# Either stack has the same import names: the distributions tell them apart.
DISTRIBUTIONS = {
    'onedl': ('onedl-mmsegmentation', 'onedl-mmcv', 'onedl-mmengine'),
    'openmmlab': ('mmsegmentation', 'mmcv-lite', 'mmcv', 'mmengine'),
}


def versions() -> dict[str, str]:
    """Returns the versions of the packages of the installed stack."""
    installed = {x.metadata['Name']: x.version for x in distributions()}
    names = 'torch', *DISTRIBUTIONS[stack()]
    return {x: installed[x] for x in names if x in installed}


def stack() -> str:
    """Returns the name of the installed stack."""
    try:
        version('onedl-mmsegmentation')
    except PackageNotFoundError:
        return 'openmmlab'
    return 'onedl'


def has_operators() -> bool:
    """Tells whether mmcv comes with its compiled operators."""
    return PathFinder.find_spec('_ext', mmcv.__path__) is not None


CITYSCAPES = '4xb2-40k_cityscapes-512x1024.py'
CCNET = f'ccnet/ccnet_r50-d8_{CITYSCAPES}'
PSANET = f'psanet/psanet_r50-d8_{CITYSCAPES}'
POINT_REND = 'point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py'
LEVIR = 'swin/swin-tiny-patch4-window7_upernet_1xb8-20k_levir-256x256.py'
HSI_DRIVE = 'unet/unet-s5-d16_fcn_4xb4-160k_hsidrive-192x384.py'
CGNET = 'cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680.py'
PIDNET = 'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py'


def cannot_run() -> dict[str, str]:
    """Returns what the error says, for each pick that fails on this stack."""
    reasons = {}
    if stack() == 'onedl':
        reasons[LEVIR] = '`mean` should have 1 or 3 values, .* got 6 values'
        reasons[HSI_DRIVE] = '`bgr_to_rgb` should be a boolean'
    if has_operators():
        return reasons
    if stack() == 'onedl':
        reasons[CCNET] = 'install onedl-mmcv for CrissCrossAttention ops'
        reasons[PSANET] = 'install onedl-mmcv for PSAMask ops'
        reasons[POINT_REND] = 'install onedl-mmcv for point_sample ops'
    else:
        reasons[PSANET] = "mmcv's compiled operator 'psamask_forward'"
    return reasons


def stock_loss_cannot_run() -> dict[str, str]:
    """Returns the same for steps with the stock losses in place.

    The CrossEntropyLoss of mmsegmentation 1.2.2 looks its class weights up
    by the label, so that it fails on ignored pixels.
    """
    reasons = cannot_run()
    if stack() == 'openmmlab':
        reasons[CGNET] = reasons[PIDNET] = 'index 255 is out of bounds'
    return reasons
