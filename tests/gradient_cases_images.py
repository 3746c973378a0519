"""Cases of the rules for convolutions, pools, normalisations and resampling."""

import numpy as np
from gradient_truth import case, normal, spread


def convolution(op, x, weight, *bias, **given):
    """Return a case that says the size of its kernel, which no dynamic shape tells."""
    return case(op, x, weight, *bias, kernel_shape=weight.shape[2:], **given)


CONVOLUTIONS = [
    case("Conv", normal(2, 3, 6, 5), normal(4, 3, 3, 2), tag="kernel-by-shape", variants=("static", "batch")),
    convolution("Conv", normal(2, 3, 7), normal(4, 3, 3), normal(4), tag="1d"),
    convolution("Conv", normal(2, 3, 6, 5), normal(4, 3, 3, 2), normal(4), tag="2d"),
    convolution("Conv", normal(1, 2, 4, 3, 5), normal(2, 2, 2, 3, 2), pads=[1, 1, 0, 0, 1, 1], tag="3d"),
    convolution("Conv", normal(2, 3, 5, 4), normal(4, 3, 1, 1), tag="pointwise"),
    convolution("Conv", normal(2, 3, 5, 6), normal(4, 3, 1, 1), strides=[2, 3], tag="pointwise"),
    convolution("Conv", normal(2, 2, 7, 6), normal(3, 2, 3, 3), pads=[1, 0, 2, 1]),
    convolution("Conv", normal(2, 2, 5, 6), normal(3, 2, 2, 3), pads=[3, 0, 2, 4], tag="more-padding-than-kernel"),
    convolution("Conv", normal(1, 2, 8, 9), normal(3, 2, 3, 3), strides=[2, 3], pads=[1, 1, 1, 1]),
    convolution("Conv", normal(1, 2, 7, 10), normal(3, 2, 2, 3), strides=[3, 4], tag="skips"),
    convolution("Conv", normal(1, 2, 9, 8), normal(3, 2, 3, 2), dilations=[2, 3], pads=[2, 1, 2, 0]),
    convolution("Conv", normal(1, 2, 10, 11), normal(2, 2, 3, 2), dilations=[2, 3], strides=[3, 2], pads=[0, 1, 1, 2]),
    convolution("Conv", normal(2, 6, 5, 5), normal(4, 3, 3, 3), normal(4), group=2, pads=[1] * 4),
    convolution("Conv", normal(2, 4, 6, 5), normal(6, 2, 3, 2), group=2, strides=[2, 1], dilations=[1, 2]),
    convolution("Conv", normal(2, 4, 5, 6), normal(4, 1, 3, 3), normal(4), group=4, pads=[1] * 4, tag="depthwise"),
    convolution("Conv", normal(2, 3, 7, 6), normal(6, 1, 3, 3), group=3, strides=[2, 2], pads=[1] * 4, tag="depthwise"),
    convolution("Conv", normal(2, 2, 7, 6), normal(3, 2, 3, 2), auto_pad="SAME_UPPER", strides=[2, 2]),
    convolution("Conv", normal(2, 2, 6, 7), normal(3, 2, 3, 4), auto_pad="SAME_LOWER", strides=[2, 3]),
    convolution("Conv", normal(2, 2, 5, 6), normal(3, 2, 2, 3), auto_pad="SAME_UPPER"),
    convolution("Conv", normal(2, 2, 5, 6), normal(3, 2, 2, 4), auto_pad="SAME_LOWER"),
    convolution("Conv", normal(2, 2, 5, 7), normal(3, 2, 2, 3), auto_pad="VALID", strides=[2, 2]),
    convolution("Conv", normal(1, 2, 6, 6), normal(3, 2, 3, 3), wrt=(0,), fixed=(1,), opset=9, pads=[1] * 4),
    convolution("Conv", normal(1, 16, 3, 4), normal(2, 16, 3, 2), pads=[1, 0, 2, 1], tag="many-channels"),
    convolution(
        "Conv", normal(1, 16, 5, 5), normal(2, 16, 2, 2), strides=[2, 1], dilations=[2, 3], tag="many-channels"
    ),
    convolution("Conv", normal(2, 16, 2, 3), normal(3, 16, 1, 1), tag="many-channels"),
    convolution("ConvTranspose", normal(2, 3, 5), normal(3, 2, 3), normal(2), tag="1d"),
    convolution("ConvTranspose", normal(2, 3, 4, 3), normal(3, 2, 3, 2), normal(2), strides=[2, 3], pads=[1, 0, 0, 1]),
    convolution("ConvTranspose", normal(1, 2, 3, 2, 3), normal(2, 2, 2, 2, 3), strides=[2, 1, 2], tag="3d"),
    convolution("ConvTranspose", normal(1, 3, 4, 3), normal(3, 2, 3, 3), strides=[2, 3], output_padding=[1, 2]),
    convolution(
        "ConvTranspose", normal(1, 3, 4, 3), normal(3, 2, 2, 3), dilations=[3, 2], output_padding=[2, 1], runtime=False
    ),
    convolution("ConvTranspose", normal(2, 4, 4, 3), normal(4, 3, 3, 2), normal(6), group=2, strides=[2, 2]),
    convolution("ConvTranspose", normal(2, 4, 4, 3), normal(4, 1, 3, 3), group=4, strides=[2, 2], pads=[1] * 4),
    convolution("ConvTranspose", normal(1, 2, 4, 3), normal(2, 3, 3, 4), strides=[2, 2], auto_pad="SAME_UPPER"),
    convolution("ConvTranspose", normal(1, 2, 4, 3), normal(2, 3, 4, 3), strides=[3, 2], auto_pad="SAME_LOWER"),
    convolution("ConvTranspose", normal(1, 2, 4, 3), normal(2, 3, 3, 3), strides=[2, 2], auto_pad="VALID"),
    convolution("ConvTranspose", normal(1, 2, 4, 3), normal(2, 3, 3, 4), strides=[2, 2], output_shape=[8, 6]),
    convolution(
        "ConvTranspose", normal(1, 2, 3), normal(2, 3, 4), strides=[2], output_shape=[7], auto_pad="SAME_UPPER"
    ),
]
POOLS = [
    case("MaxPool", spread(2, 3, 7), kernel_shape=[3], strides=[2], tag="1d"),
    case("MaxPool", spread(2, 2, 6, 4), kernel_shape=[2, 2], strides=[2, 2]),
    case("MaxPool", spread(1, 2, 7, 5), kernel_shape=[2, 2], strides=[3, 2], tag="skips"),
    case("MaxPool", spread(2, 2, 5, 6), kernel_shape=[3, 2], tag="overlapping"),
    case("MaxPool", spread(2, 2, 7, 6), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
    case("MaxPool", spread(2, 2, 7, 6), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, opset=13),
    case("MaxPool", spread(1, 2, 6, 7), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    case("MaxPool", spread(1, 2, 6, 7), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, opset=11),
    case("MaxPool", spread(1, 2, 7, 6), kernel_shape=[2, 3], dilations=[3, 2]),
    case("MaxPool", spread(1, 2, 7, 6), kernel_shape=[3, 2], auto_pad="SAME_UPPER", strides=[2, 2]),
    case("MaxPool", spread(1, 2, 7, 6), kernel_shape=[3, 2], auto_pad="SAME_LOWER", strides=[2, 2]),
    case("MaxPool", spread(1, 2, 5, 6), kernel_shape=[2, 2], storage_order=1, tag="columns"),
    case("MaxPool", spread(1, 2, 5, 6), kernel_shape=[2, 2], outputs=2, tag="with-indices"),
    case("MaxPool", spread(1, 1, 4, 5, 4), kernel_shape=[2, 2, 2], strides=[2, 1, 2], tag="3d"),
    case("AveragePool", normal(2, 3, 7), kernel_shape=[3], strides=[2], tag="1d"),
    case("AveragePool", normal(2, 2, 6, 4), kernel_shape=[2, 2], strides=[2, 2]),
    case("AveragePool", normal(2, 2, 5, 6), kernel_shape=[3, 2], tag="overlapping"),
    case("AveragePool", normal(2, 2, 7, 6), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
    case("AveragePool", normal(2, 2, 7, 6), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, count_include_pad=1),
    case("AveragePool", normal(2, 2, 5, 6), kernel_shape=[3, 3], pads=[1] * 4),
    case("AveragePool", normal(1, 2, 6, 7), kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
    case("AveragePool", normal(1, 2, 6, 8), kernel_shape=[3, 3], strides=[2, 3], ceil_mode=1, pads=[0, 1, 1, 0]),
    case(
        "AveragePool",
        normal(1, 2, 6, 7),
        kernel_shape=[3, 2],
        strides=[2, 2],
        ceil_mode=1,
        count_include_pad=1,
        pads=[1, 1, 1, 0],
        opset=19,
    ),
    case("AveragePool", normal(1, 2, 7, 6), kernel_shape=[3, 2], auto_pad="SAME_UPPER", strides=[2, 2]),
    case("AveragePool", normal(1, 2, 7, 6), kernel_shape=[3, 2], auto_pad="SAME_LOWER"),
    case("AveragePool", normal(1, 2, 7, 6), kernel_shape=[2, 2], dilations=[2, 3], pads=[1] * 4, opset=19),
    case("AveragePool", normal(1, 1, 4, 5, 4), kernel_shape=[2, 2, 2], strides=[2, 1, 2], tag="3d"),
    case("LpPool", spread(2, 2, 6, 5), kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 0, 1]),
    case("LpPool", spread(2, 2, 6, 5), kernel_shape=[2, 2], p=1),
    case("LpPool", spread(2, 2, 6, 5), kernel_shape=[2, 2], p=3),
    case("LpPool", spread(2, 2, 6, 5), kernel_shape=[2, 2], opset=9),
    case("GlobalAveragePool", normal(2, 3, 4, 5)),
    case("GlobalAveragePool", normal(2, 3, 4)),
    case("GlobalMaxPool", spread(2, 3, 4, 5)),
    case("GlobalMaxPool", spread(2, 3, 2, 2, 2)),
    case("GlobalLpPool", spread(2, 3, 4, 5)),
    case("GlobalLpPool", spread(2, 3, 4, 5), p=1),
    case("GlobalLpPool", spread(2, 3, 4, 5), p=3),
    case("GlobalLpPool", spread(2, 3, 4, 5), opset=9),
]
SCALE, BIAS, MEAN, VARIANCE = normal(3, seed=1), normal(3, seed=2), normal(3, seed=3), normal(3, seed=4) ** 2 + 0.1
NORMALISATIONS = [
    case("BatchNormalization", normal(2, 3, 4, 2), SCALE, BIAS, MEAN, VARIANCE),
    case("BatchNormalization", normal(4, 3), SCALE, BIAS, MEAN, VARIANCE, epsilon=0.01),
    case("BatchNormalization", normal(4, 3), SCALE, BIAS, MEAN, VARIANCE, opset=9, runtime=True),
    case("BatchNormalization", normal(4, 3, 2), SCALE, BIAS, MEAN, VARIANCE, training_mode=1, outputs=3, wrt=(0, 1, 2)),
    case("LayerNormalization", normal(2, 4, 6), normal(6, seed=1), normal(6, seed=2)),
    case("LayerNormalization", normal(2, 4, 6), normal(4, 6, seed=1), axis=1, epsilon=0.1),
    case("LayerNormalization", normal(2, 4, 6), normal(6, seed=1), outputs=3, of=1, runtime=False, tag="mean"),
    case("LayerNormalization", normal(2, 4, 6), normal(6, seed=1), outputs=3, of=2, runtime=False, tag="deviation"),
    case("RMSNormalization", normal(2, 4, 6), normal(6, seed=1), opset=23),
    case("RMSNormalization", normal(2, 4, 6), normal(4, 6, seed=1), axis=1, epsilon=0.1, opset=23),
    case("InstanceNormalization", normal(2, 3, 4, 5), SCALE, BIAS),
    case("InstanceNormalization", normal(2, 3, 6), SCALE, BIAS, epsilon=0.1),
    case("GroupNormalization", normal(2, 6, 4, 3), normal(6, seed=1), normal(6, seed=2), num_groups=3, opset=21),
    case("LpNormalization", normal(3, 4, 5)),
    case("LpNormalization", normal(3, 4, 5), axis=1, p=2),
    case("LpNormalization", normal(3, 4, 5), opset=9),
    case("LpNormalization", spread(3, 4, 5), axis=1, p=1),
    case("LRN", normal(2, 6, 3, 2), size=3, alpha=0.5, beta=0.6, bias=1.5),
    case("LRN", normal(2, 6, 3, 2), size=4, alpha=0.5, runtime=False),
]
NONE = np.zeros(0)


def resized(x, scales=None, sizes=None, *, roi=None, fixed=None, opset=17, **attributes):
    """Return a case of Resize, differentiated by the image."""
    last = None if sizes is None else np.array(sizes, np.int64)
    scales = None if scales is None else np.array(scales, np.float32)
    inputs = [x, None if roi is None else np.array(roi), scales, *([] if last is None else [last])]
    fixed = tuple(i for i in range(1, len(inputs)) if inputs[i] is not None) if fixed is None else fixed
    return case("Resize", *inputs, wrt=(0,), fixed=fixed, opset=opset, **attributes)


RESAMPLING = [
    resized(normal(1, 2, 3, 4), [1, 1, 2, 2], mode="nearest"),
    resized(normal(1, 2, 3, 4), [1, 1, 2.5, 1.5], mode="nearest", nearest_mode="floor"),
    resized(normal(1, 2, 3, 4), [1, 1, 2, 3], coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    resized(normal(1, 2, 7, 6), [1, 1, 0.6, 0.5], mode="nearest", nearest_mode="ceil"),
    resized(normal(1, 2, 3, 4), sizes=[1, 2, 5, 7], mode="nearest", nearest_mode="round_prefer_ceil"),
    resized(normal(1, 2, 3, 4), [1, 1, 2, 2], mode="linear"),
    resized(normal(1, 2, 5, 4), [1, 1, 0.6, 1.7], mode="linear"),
    resized(normal(1, 2, 3, 4), sizes=[1, 2, 5, 7], mode="linear", coordinate_transformation_mode="align_corners"),
    resized(normal(1, 2, 3, 4), sizes=[1, 2, 5, 1], mode="linear", coordinate_transformation_mode="pytorch_half_pixel"),
    resized(normal(1, 2, 3, 4), [1, 1, 2, 2], mode="linear", coordinate_transformation_mode="asymmetric"),
    resized(normal(2, 2, 3), [1, 1, 2], mode="linear", tag="1d"),
    resized(normal(1, 1, 3, 2, 3), [1, 1, 2, 2, 1.5], mode="linear", tag="3d"),
    resized(normal(1, 2, 4, 5), [1, 1, 2, 1.5], mode="cubic"),
    resized(normal(1, 2, 4, 5), sizes=[1, 2, 7, 6], mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1),
    resized(normal(1, 2, 4, 5), sizes=[1, 2, 7, 6], mode="cubic", coordinate_transformation_mode="align_corners"),
    resized(normal(1, 1, 6, 8), [1, 1, 0.5, 0.4], mode="linear", antialias=1, opset=18),
    resized(normal(1, 1, 6, 8), [1, 1, 0.5, 0.4], mode="cubic", antialias=1, opset=18),
    resized(normal(1, 2, 3, 4), [2, 1.5], mode="linear", axes=[2, 3], opset=18),
    resized(normal(1, 2, 3, 4), sizes=[6, 5], mode="linear", axes=[3, 2], opset=18, runtime=False),
    resized(
        normal(1, 2, 3, 4), [1, 1, 2, 2], mode="linear", opset=19, coordinate_transformation_mode="half_pixel_symmetric"
    ),
    resized(
        normal(1, 2, 5, 6),
        sizes=[1, 2, 4, 3],
        roi=[0, 0, 0.2, 0.3, 1, 1, 0.8, 1.2],
        mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=3.0,
    ),
    resized(normal(1, 2, 3, 4), [1, 1, 2, 3], mode="linear", roi=NONE, opset=11),
    resized(normal(1, 2, 3, 4), [1, 1, 2, 2], mode="linear", fixed=(), tag="scales-at-run-time"),
    resized(
        normal(1, 2, 3, 4), sizes=[1, 2, 4, 6], mode="nearest", fixed=(), tag="sizes-at-run-time", variants=("static",)
    ),
    case(
        "Resize", normal(1, 2, 3, 4), np.array([1, 1, 2, 3], np.float32), wrt=(0,), fixed=(1,), opset=10, runtime=True
    ),
    case("Upsample", normal(1, 2, 3, 4), np.array([1, 1, 2, 3], np.float32), wrt=(0,), fixed=(1,), opset=9),
    case(
        "Upsample", normal(1, 2, 3, 4), np.array([1, 1, 2, 3], np.float32), wrt=(0,), fixed=(1,), opset=9, mode="linear"
    ),
    case("Pad", normal(2, 3, 4), np.array([0, 1, 2, 0, 0, 1]), normal()),
    case("Pad", normal(2, 3, 4), np.array([0, 1, -2, 0, -1, 1]), tag="crops"),
    case("Pad", normal(2, 3, 4), np.array([0, 1, -2, 0, -1, 1]), normal(), fixed=(), tag="at-run-time"),
    case("Pad", normal(2, 3, 4), np.array([1, 2, 0, 1]), None, np.array([-1, 1]), opset=18, tag="axes"),
    case("Pad", normal(2, 3, 4), pads=[0, 1, 2, 0, 0, 1], value=0.5, opset=9),
    case("Pad", normal(2, 3, 4), pads=[0, 1, 2, 0, 2, 1], mode="edge", opset=9),
    case("Pad", normal(2, 3, 4), np.array([0, 1, 2, 0, 2, 1]), mode="reflect"),
    case("Pad", normal(2, 3, 4), np.array([0, 1, 2, 0, 2, 1]), mode="edge"),
    case("Pad", normal(2, 3, 4), np.array([1, 2, 0, 1]), None, np.array([-1, 1]), mode="wrap", opset=19),
    case("Pad", normal(2, 3, 4), np.array([0, 1, 2, 0, 2, 1]), mode="reflect", fixed=(), tag="at-run-time"),
]
CASES = CONVOLUTIONS + POOLS + NORMALISATIONS + RESAMPLING
