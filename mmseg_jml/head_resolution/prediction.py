"""Classes from a head's logits, without logits of the image's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel, BaseModule
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import CascadeEncoderDecoder, EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..functional import Canvas, View, Window, predicted_classes
from ..heads import predicting_head
from ..stand_in import StandIn
from .stock_code import fingerprint

__all__ = ['predict_classes', 'predict_small', 'why_full_prediction']

# The code of mmseg's methods in mmsegmentation 1.2.2 and in
# onedl-mmsegmentation 1.4.2, for which those below were written.
_KNOWN = {
    EncoderDecoder.predict: 'd968c5cc34e40452',
    EncoderDecoder.inference: 'f287885b0e6f5418',
    EncoderDecoder.whole_inference: '9cc4ed3185e0333f',
    EncoderDecoder.slide_inference: '4047dc279c29ca63',
    EncoderDecoder.postprocess_result: '0fc6a11fd927ba70',
}
_KNOWN_OF_HEAD = {BaseDecodeHead.predict_by_feat: '0f385b2ea4eb4847'}
_ENCODE_DECODE = {
    EncoderDecoder.encode_decode,
    CascadeEncoderDecoder.encode_decode,
}


def why_full_prediction(segmentor: BaseModel) -> str | None:
    """Return why a segmentor needs logits of the image's size, or None."""
    for method, code in {**_KNOWN, **_KNOWN_OF_HEAD}.items():
        if fingerprint(method) != code:
            name = method.__qualname__
            return f"mmseg's {name} is not that of mmsegmentation 1.2.2"
    own = any(_function(segmentor, m.__name__) is not m for m in _KNOWN)
    encode = _function(segmentor, 'encode_decode')
    if own or encode not in _ENCODE_DECODE:
        return f'{type(segmentor).__name__} predicts by methods of its own'
    head = predicting_head(segmentor)
    own = any(_function(head, m.__name__) is not m for m in _KNOWN_OF_HEAD)
    predict = getattr(_function(head, 'predict'), '__module__', '')
    if own or not predict.startswith('mmseg.models.decode_heads.'):
        return f'{type(head).__name__} predicts by methods of its own'
    if segmentor.out_channels == 1:
        return 'it has a single channel, which costs little'
    return None


def predict_classes(segmentor: BaseModel) -> list[StandIn]:
    """Let a segmentor predict classes without logits, until removed."""
    return [
        StandIn(segmentor, _SmallInference),
        StandIn(predicting_head(segmentor), _SmallPrediction),
    ]


def predict_small(head: BaseModule) -> None:
    """Let a head predict at its own resolution, from now on.

    A head with a ``predict_by_feat`` of its own is left as it is.
    """
    is_stock = (
        isinstance(head, BaseDecodeHead)
        and type(head).predict_by_feat is BaseDecodeHead.predict_by_feat
    )
    if is_stock:
        StandIn(head, _SmallPrediction)


class _SmallPrediction(BaseDecodeHead):
    """Replace the method that resizes logits to the image."""

    def predict_by_feat(
        self, seg_logits: Tensor, batch_img_metas: list[dict]
    ) -> Tensor:
        return seg_logits


class _SmallInference(EncoderDecoder):
    """Replace the methods that make logits of the image's size.

    Its head has to return small logits: see :class:`_SmallPrediction`.
    """

    def whole_inference(
        self, inputs: Tensor, batch_img_metas: list[dict]
    ) -> list[Canvas]:
        """Compute the logits of whole images, a canvas for each."""
        meta = batch_img_metas[0]
        size = meta['img_shape']
        if not isinstance(size, torch.Size):
            size = meta.get('pad_shape', size)[:2]
        logits = self.encode_decode(inputs, batch_img_metas)
        window = Window(logits, slice(0, size[0]), slice(0, size[1]))
        return self._canvases([window], size)

    def slide_inference(
        self, inputs: Tensor, batch_img_metas: list[dict]
    ) -> list[Canvas]:
        """Compute the logits of overlapping windows, a canvas for each image.

        The ``img_shape`` of the first image becomes that of a window, as in
        mmseg.
        """
        size = inputs.shape[2:]
        windows = []
        for rows in _spans(size[0], 0, self.test_cfg):
            for columns in _spans(size[1], 1, self.test_cfg):
                crop = inputs[:, :, rows, columns]
                batch_img_metas[0]['img_shape'] = crop.shape[2:]
                logits = self.encode_decode(crop, batch_img_metas)
                windows.append(Window(logits, rows, columns))
        return self._canvases(windows, size, inputs.dtype)

    def postprocess_result(
        self,
        seg_logits: list[Canvas],
        data_samples: list[SegDataSample] | None = None,
    ) -> list[SegDataSample]:
        """Compute the classes of the original images, without ``seg_logits``.

        Without data samples, compute those of the inputs.
        """
        views: list[View | None] = [None] * len(seg_logits)
        if data_samples is None:
            data_samples = [SegDataSample() for _ in seg_logits]
        else:
            views = [_view(sample.metainfo) for sample in data_samples]
        for sample, canvas, view in zip(data_samples, seg_logits, views):
            classes = predicted_classes(canvas, view)
            sample.set_data(dict(pred_sem_seg=PixelData(data=classes[None])))
        return data_samples

    def _canvases(
        self,
        windows: list[Window],
        size: Sequence[int],
        dtype: torch.dtype | None = None,
    ) -> list[Canvas]:
        (height, width), align = size, bool(self.align_corners)
        canvases = []
        for i in range(len(windows[0].logits)):
            own = [w._replace(logits=w.logits[i]) for w in windows]
            canvases.append(Canvas(own, (height, width), align, dtype))
        return canvases


def _spans(length: int, axis: int, test_cfg: ConfigDict) -> list[slice]:
    """Place windows along an axis, the last one flush with its end."""
    crop, stride = test_cfg.crop_size[axis], test_cfg.stride[axis]
    count = max(length - crop + stride - 1, 0) // stride + 1
    stops = [min(i * stride + crop, length) for i in range(count)]
    return [slice(max(stop - crop, 0), stop) for stop in stops]


def _view(meta: dict) -> View:
    """Collect how mmseg's postprocess_result crops, flips and resizes."""
    padding = meta.get('img_padding_size', meta.get('padding_size', [0] * 4))
    flip = str(meta.get('flip_direction')) if meta.get('flip') else None
    return View(tuple(meta['ori_shape']), tuple(padding), flip)


def _function(module: nn.Module, name: str) -> Callable | None:
    """Return the function behind a method; None if an instance has its own."""
    return getattr(getattr(module, name, None), '__func__', None)
