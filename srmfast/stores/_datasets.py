"""Folders of Hugging Face datasets: Arrow files in the order that their state names."""

import contextlib
import glob
import json
import os

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import _arrow, _shards


def open_source(path, key=None):
    """Open a column of a dataset saved to disk.

    Parameters
    ----------
    path : str
        Folder with dataset_info.json, and state.json or .arrow files.
    key : str, optional
        Name of the column; see the Arrow format.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        For a folder of splits, a file that is not there, rows chosen by an index, and what Arrow refuses.
    """
    parts = _parts(path)
    if len(parts) == 1:
        return _arrow.open_source(parts[0], key)
    location = path if key is None else f"{path}::{key}"
    return _shards.ShardedSource(parts, lambda part: _arrow.open_source(part, key), location, lambda shape: 0)


def load_array(path, key=None):
    """Load a whole column."""
    parts = _parts(path)
    if len(parts) == 1:
        return _arrow.load_array(parts[0], key)
    return np.concatenate([_arrow.load_array(part, key) for part in parts])


def _parts(path):
    """List the files of a dataset in order."""
    splits = _json(path, "dataset_dict.json")
    if splits is not None:
        names = splits.get("splits") if isinstance(splits.get("splits"), list) else []
        listed = ", ".join(f"{path}/{name}" for name in names)
        raise InputError(f"{path} holds several splits; open one: {listed:.300}")
    state = _json(path, "state.json")
    if state is None:
        parts = sorted(glob.glob(os.path.join(glob.escape(path), "*.arrow")), key=_shards.natural_key)
        if not parts:
            raise InputError(f"{path} holds no .arrow file; check that its writer has finished")
        return parts
    if state.get("_indices_data_files"):
        raise InputError(f"{path} chooses its rows by an index; save dataset.flatten_indices() to another folder")
    listed = state.get("_data_files")
    names = [entry.get("filename") for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    if not names or not all(isinstance(name, str) and os.path.basename(name) == name for name in names):
        raise InputError(f"{path}/state.json names no files of this folder under _data_files; save the dataset again")
    lost = [name for name in names if not os.path.isfile(os.path.join(path, name))]
    if lost:
        raise InputError(
            f"{len(lost)} of the {len(names)} files that {path}/state.json names are not there ({lost[0]:.90}); copy the "
            "folder again"
        )
    return [os.path.join(path, name) for name in names]


def _json(path, name):
    """Read a JSON object of the folder, None without such a file."""
    with contextlib.suppress(FileNotFoundError), open(os.path.join(path, name), "rb") as file:
        try:
            found = json.load(file)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}/{name} is not JSON; the dataset is damaged, save it again") from error
        if not isinstance(found, dict):
            raise InputError(f"{path}/{name} must be a JSON object; the dataset is damaged, save it again")
        return found
    return None
