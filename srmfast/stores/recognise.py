"""What a path looks like: layouts that the tools of this field write, so that nobody has to describe them by flags.

A recogniser looks at names, small descriptions and headers, never at values, and answers None for anything else. It
steps aside for a ``::key`` that is none of its choices: an array that is named is read as it is.
"""

import dataclasses
from collections.abc import Callable

from srmfast.stores import (
    _layouts_groups,
    _layouts_hooks,
    _layouts_images,
    _layouts_models,
    _layouts_tokens,
    _places,
    _registry,
)

_FOLDER = None  # one that is no store by itself


@dataclasses.dataclass(frozen=True)
class Layout:
    """One layout: ``look(site, key, options)`` gives a `Found` or None."""

    look: Callable
    kinds: tuple  # Formats of the paths that it may be, `_FOLDER` among them


LAYOUTS = (
    Layout(_layouts_models.exported, (_registry.ZARR,)),
    Layout(_layouts_tokens.saelens, (_registry.DATASETS, _FOLDER)),
    Layout(_layouts_images.saev, (_FOLDER,)),
    Layout(_layouts_hooks.activault, (_FOLDER,)),
    Layout(_layouts_hooks.openmoss, (_FOLDER,)),
    Layout(_layouts_hooks.crosslayer, (_FOLDER,)),
    Layout(_layouts_hooks.delphi, (_registry.SAFETENSORS, _FOLDER)),
    Layout(_layouts_tokens.vllm, (_registry.SAFETENSORS, _FOLDER)),
    Layout(_layouts_tokens.specforge, (_registry.TORCH, _FOLDER)),
    Layout(_layouts_images.prisma, (_FOLDER,)),
    Layout(_layouts_images.thingsvision, (_FOLDER,)),
    Layout(_layouts_images.brainscore, (_registry.HDF5,)),
    Layout(_layouts_groups.neurox, (_registry.HDF5,)),
    Layout(_layouts_groups.zarr_log, (_registry.ZARR, _FOLDER)),
    Layout(_layouts_tokens.exporter, (_registry.PARQUET, _FOLDER)),
    Layout(_layouts_groups.npz_objects, (_registry.NPZ,)),
)


def look(site, key, options):
    """Look what a path is.

    Parameters
    ----------
    site : Site
    key : str or None
        What followed "::".
    options : dict
        The ``feature_axis``, ``index`` and ``flatten`` of `srmfast.stores.open_store`.

    Returns
    -------
    Found or None

    Raises
    ------
    InputError
        When it is such a layout, but damaged, not finished, or of several layers of which none is chosen.
    """
    if _registry.describes_raw(key) or (_places.is_url(site.path) and site.kind is not _FOLDER):
        return None
    for layout in LAYOUTS:
        if site.kind in layout.kinds:
            found = layout.look(site, key, options)
            if found is not None:
                return found
    return None
