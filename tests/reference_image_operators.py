"""Operators that ONNX's reference implementation gets wrong or lacks, written from their definition.

Measured with onnx 1.23: ConvTranspose mixes up the channels of groups and ignores output_shape, MaxPool gives no
indices at strides of 1, AveragePool shifts its windows in ceil_mode, LpPool and LpNormalization miss padding and signs, LRN
walks over the batch, BatchNormalization 9 trains, GlobalMaxPool takes the wrong axes, GroupNormalization computes in float32, Pad crops nothing,
MaxUnpool ignores its output shape, Upsample knows nearest only.
"""

import itertools

import numpy as np
import onnx
from onnx.reference.op_run import OpRun


def _pads(auto_pad, pads, lengths, strides, reaches):
    """Return (before, behind) of each spatial axis."""
    n = len(lengths)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max(0, (-(-length // stride) - 1) * stride + reach - length)
            for length, stride, reach in zip(lengths, strides, reaches, strict=True)
        ]
        return [(t // 2, t - t // 2) if auto_pad == "SAME_UPPER" else (t - t // 2, t // 2) for t in totals]
    return list(zip(pads[:n], pads[n:], strict=True)) if pads and auto_pad != "VALID" else [(0, 0)] * n


class _Pool(OpRun):
    op_domain = ""

    def windows(self, x, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides):
        """Return indices (*windows, *kernel) of positions in the flattened spatial axes.

        Those in the padding are -1; those beyond it, which only ceil_mode has, are -2.
        """
        lengths, n = x.shape[2:], x.ndim - 2
        strides, dilations = strides or [1] * n, dilations or [1] * n
        reaches = [d * (k - 1) + 1 for d, k in zip(dilations, kernel_shape, strict=True)]
        ends = _pads(auto_pad, pads, lengths, strides, reaches)
        grids = []
        for length, stride, reach, dilation, kernel, (before, behind) in zip(
            lengths, strides, reaches, dilations, kernel_shape, ends, strict=True
        ):
            room = length + before + behind - reach
            count = (-(-room // stride) if ceil_mode else room // stride) + 1
            if ceil_mode and (count - 1) * stride >= length + before:
                count -= 1
            at = np.arange(count)[:, None] * stride - before + np.arange(kernel) * dilation
            grids.append(np.where(at >= length + behind, -2, np.where((at < 0) | (at >= length), -1, at)))
        flat = np.zeros((1,) * (2 * n), int)
        worst = np.zeros((1,) * (2 * n), int)
        for axis, (grid, length) in enumerate(zip(grids, lengths, strict=True)):
            shape = [1] * (2 * n)
            shape[axis], shape[n + axis] = grid.shape
            flat = flat * length + np.maximum(grid, 0).reshape(shape)
            worst = np.minimum(worst, np.minimum(grid, 0).reshape(shape))
        places = np.where(worst < 0, worst, flat)
        return places.reshape(*places.shape[:n], -1)

    def values(self, x, places, outside):
        flat = x.reshape(*x.shape[:2], -1)
        return np.where(places >= 0, flat[:, :, np.maximum(places, 0)], outside)


class MaxPool(_Pool):
    def _run(
        self,
        x,
        auto_pad=None,
        ceil_mode=None,
        dilations=None,
        kernel_shape=None,
        pads=None,
        storage_order=None,
        strides=None,
    ):
        places = self.windows(x, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides)
        values = self.values(x, places, -np.inf)
        first = values.argmax(axis=-1)
        spatial = np.take_along_axis(np.broadcast_to(places, values.shape), first[..., None], -1)[..., 0]
        if storage_order:
            at = np.unravel_index(spatial, x.shape[2:])
            spatial = np.ravel_multi_index(at[::-1], x.shape[:1:-1])
        size = int(np.prod(x.shape[2:]))
        offset = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * (x.ndim - 2)) * size
        return (values.max(axis=-1).astype(x.dtype), (spatial + offset).astype(np.int64))[: len(self.output)]


class AveragePool(_Pool):
    def _run(
        self,
        x,
        auto_pad=None,
        ceil_mode=None,
        count_include_pad=None,
        dilations=None,
        kernel_shape=None,
        pads=None,
        strides=None,
    ):
        places = self.windows(x, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides)
        counts = (places >= (-1 if count_include_pad else 0)).sum(axis=-1)
        return ((self.values(x, places, 0).sum(axis=-1) / counts).astype(x.dtype),)


class LpPool(_Pool):
    def _run(
        self,
        x,
        auto_pad=None,
        ceil_mode=None,
        dilations=None,
        kernel_shape=None,
        p=None,
        pads=None,
        strides=None,
    ):
        places = self.windows(x, auto_pad, ceil_mode, dilations, kernel_shape, pads, strides)
        return (((np.abs(self.values(x, places, 0)) ** p).sum(axis=-1) ** (1 / p)).astype(x.dtype),)


class GlobalMaxPool(OpRun):
    op_domain = ""

    def _run(self, x):
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


class GlobalLpPool(OpRun):
    op_domain = ""

    def _run(self, x, p=None):
        total = (np.abs(x) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True)
        return ((total ** (1 / p)).astype(x.dtype),)


class MaxUnpool(OpRun):
    op_domain = ""

    def _run(self, x, places, shape, kernel_shape=None, pads=None, strides=None):
        flat = np.zeros(int(np.prod(shape)), x.dtype)
        flat[places.ravel()] = x.ravel()
        return (flat.reshape(shape),)


class ConvTranspose(OpRun):
    op_domain = ""

    def _run(
        self,
        x,
        w,
        b=None,
        auto_pad=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        output_padding=None,
        output_shape=None,
        pads=None,
        strides=None,
    ):
        lengths, kernel = x.shape[2:], w.shape[2:]
        n = len(lengths)
        strides, dilations, extra = strides or [1] * n, dilations or [1] * n, output_padding or [0] * n
        reaches = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
        whole = [s * (i - 1) + r for s, i, r in zip(strides, lengths, reaches, strict=True)]
        if output_shape is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            output_shape = [s * i for s, i in zip(strides, lengths, strict=True)]
        if output_shape is None:
            ends = list(zip(pads[:n], pads[n:], strict=True)) if pads and auto_pad != "VALID" else [(0, 0)] * n
            output_shape = [f + e - a - c for f, e, (a, c) in zip(whole, extra, ends, strict=True)]
        else:
            totals = [max(0, f + e - o) for f, e, o in zip(whole, extra, output_shape, strict=True)]
            ends = [(t // 2, t - t // 2) if auto_pad == "SAME_UPPER" else (t - t // 2, t // 2) for t in totals]
        images, channels = x.shape[:2]
        split = x.reshape(images, group, channels // group, *lengths)
        weight = w.reshape(group, channels // group, w.shape[1], *kernel)
        y = np.zeros(
            (images, group, w.shape[1], *(f + max(extra) + o for f, o in zip(whole, output_shape, strict=True)))
        )
        for at in itertools.product(*map(range, kernel)):
            part = np.einsum("ngc...,gcm->ngm...", split, weight[(..., *at)])
            spots = (slice(d * k, d * k + s * i, s) for d, k, s, i in zip(dilations, at, strides, lengths, strict=True))
            y[(..., *spots)] += part
        y = y[(..., *(slice(a, a + o) for (a, _), o in zip(ends, output_shape, strict=True)))]
        y = y.reshape(images, -1, *output_shape)
        return ((y if b is None else y + b.reshape(-1, *(1,) * n)).astype(x.dtype),)


class Pad(OpRun):
    op_domain = ""

    def _run(self, x, pads=None, value=None, axes=None, mode=None):
        axes = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
        width = [(0, 0)] * x.ndim
        for place, axis in enumerate(axes):
            width[axis] = (int(pads[place]), int(pads[place + len(axes)]))
        x = x[tuple(slice(max(0, -a), x.shape[i] - max(0, -b)) for i, (a, b) in enumerate(width))]
        width = [(max(0, a), max(0, b)) for a, b in width]
        if mode != "constant":
            return (np.pad(x, width, mode=mode),)
        return (np.pad(x, width, constant_values=0 if value is None else np.ravel(value)[0]).astype(x.dtype),)


class LRN(OpRun):
    op_domain = ""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        a, b = (size - 1) // 2, size - 1 - (size - 1) // 2
        wide = np.pad(x**2, [(0, 0), (a, b)] + [(0, 0)] * (x.ndim - 2))
        total = sum(wide[:, i : i + x.shape[1]] for i in range(size))
        return ((x / (bias + alpha / size * total) ** beta).astype(x.dtype),)


class LpNormalization(OpRun):
    op_domain = ""

    def _run(self, x, axis=None, p=None):
        norm = (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
        return ((x / np.where(norm == 0, 1, norm)).astype(x.dtype),)


class GroupNormalization(OpRun):
    op_domain = ""

    def _run(self, x, scale, bias, epsilon=None, num_groups=None, stash_type=None):
        split = x.reshape(x.shape[0], num_groups, -1)
        mean, variance = split.mean(axis=-1, keepdims=True), split.var(axis=-1, keepdims=True)
        normal = ((split - mean) / np.sqrt(variance + epsilon)).reshape(x.shape)
        shape = (-1, *(1,) * (x.ndim - 2))
        scale, bias = (np.repeat(v, x.shape[1] // len(v)).reshape(shape) for v in (scale, bias))
        return ((normal * scale + bias).astype(x.dtype),)


class BatchNormalization(OpRun):
    op_domain = ""

    def _run(self, x, scale, bias, mean, variance, epsilon=None, momentum=None, training_mode=None):
        axes, shape = tuple(a for a in range(x.ndim) if a != 1), (-1, *(1,) * (x.ndim - 2))
        if training_mode or len(self.output) > 1:
            mean, variance = x.mean(axis=axes), x.var(axis=axes)
        scale, bias, mean, variance = (v.reshape(shape) for v in (scale, bias, mean, variance))
        y = (x - mean) / np.sqrt(variance + epsilon) * scale + bias
        return (y.astype(x.dtype), mean.ravel(), variance.ravel(), mean.ravel(), variance.ravel())[: len(self.output)]


class Upsample(OpRun):
    op_domain = ""

    def _run(self, x, scales, mode=None):
        for axis, scale in enumerate(scales):
            if scale != 1:
                at = np.arange(int(np.floor(x.shape[axis] * scale))) / scale
                low = np.floor(at).astype(int)
                high = np.minimum(low + 1, x.shape[axis] - 1)
                share = (at - low).reshape(-1, *(1,) * (x.ndim - axis - 1)) if mode == "linear" else 0
                x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
        return (x,)


CORRECTED = [
    AveragePool,
    BatchNormalization,
    ConvTranspose,
    GlobalLpPool,
    GlobalMaxPool,
    GroupNormalization,
    LRN,
    LpNormalization,
    LpPool,
    MaxPool,
    MaxUnpool,
    Pad,
    Upsample,
]


class Resize(Upsample):  # of operator set 10, which took the place of Upsample
    op_schema = onnx.defs.get_schema("Resize", 10)


def image_operators(opset):
    """Return the operators to hand to the reference implementation for a version."""
    return [*CORRECTED, Resize] if opset == 10 else CORRECTED
