"""What `srmfast export` writes: layers of a model, with the channels and the attention mask that the model told of."""

import json
import os

from srmfast.stores import _layers, _onnx, _registry
from srmfast.stores._found import Found, Recognised

EXPORTED = "srmfast_export"  # attribute of the group
_SHOWN = 8


def is_export(path):
    """Tell whether a folder is an export."""
    return bool(_attributes(path))


def exported(site, key, options):
    """Recognise a layer in an export of srmfast."""
    layers = _attributes(site.path).get("layers")
    if not isinstance(layers, dict) or not layers:
        return None
    name = (key or "").strip("/")
    if key is None and len(layers) == 1:
        name = next(iter(layers))
    if key is None and len(layers) > 1:
        some = ", ".join(list(layers)[:_SHOWN]) + (", …" if len(layers) > _SHOWN else "")
        raise _layers.Choice(f"{site.path} holds {len(layers)} layers, {some}; name one as {site.path}::NAME", layers)
    if name not in layers:
        return None
    told = layers[name] if isinstance(layers[name], dict) else {}
    source = _registry.ZARR.open_source(site.path, name)
    try:
        axis = told.get("channel_axis") if options["feature_axis"] is None and not options["flatten"] else None
        if not isinstance(axis, int) or not 0 <= axis < len(source.shape) or axis in dict(options["index"] or {}):
            axis = None
        mask = _onnx.mask_of(source, options | {"feature_axis": axis if axis is not None else options["feature_axis"]})
        words = " x ".join(map(str, source.shape)) + f" {source.dtype_name}"
        assumed = (_onnx.channels_told(axis),) if axis is not None else ()
        recognised = Recognised(
            f"what {told.get('op')} made in a model, as srmfast exports it", words, assumed, mask=mask
        )
        return Found(source, recognised, dict(options["index"] or {}), axis)
    except BaseException:
        source.close()
        raise


def _attributes(path):
    """Read the attributes of an export; {} of anything else."""
    try:
        with open(os.path.join(path, ".zattrs"), "rb") as file:
            found = json.loads(file.read(1 << 24))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and EXPORTED in found else {}
