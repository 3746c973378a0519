"""Memory that blocks use one after another."""

import math

import numpy as np


class Scratch:
    """Arrays that are used again for every block: fresh ones would cost a page fault for every 4 KiB."""

    def __init__(self):
        self._buffers = {}
        self._views = {}

    def array(self, name, shape, dtype=np.float64):
        """Return an uninitialised C-contiguous array, valid until `name` is asked for again."""
        view = self._views.get((name, shape))
        if view is None:
            size = math.prod(shape)
            buffer = self._buffers.get(name)
            if buffer is None or buffer.size < size:
                buffer = self._buffers[name] = np.empty(size, dtype)
                self._views = {key: view for key, view in self._views.items() if key[0] != name}
            view = self._views[name, shape] = buffer[:size].reshape(shape)
        return view
