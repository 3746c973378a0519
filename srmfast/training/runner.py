"""Run the graph of a step over and over: the state stays with onnxruntime and goes to and fro between two places."""

import numpy as np

from srmfast.training.step import LABELS, LOSS, ORDER, POSITION, ROWS, after


class Runner:
    """A session that takes a state from step to step.

    Parameters
    ----------
    step : Step
    data : Data
    state : dict of str to ndarray, optional
        In place of parts of the step's own.

    Notes
    -----
    One thread: a step is too small for two to pay, and sums have one order. Rows stay where they are: the graph
    gathers a batch by its indices.
    """

    def __init__(self, step, data, state=None):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            step.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        value = self._value = onnxruntime.OrtValue.ortvalue_from_numpy
        fixed = {ROWS: data.rows} | ({} if data.labels is None else {LABELS: data.labels})
        self._fixed = {name: value(array) for name, array in fixed.items()}
        begins = {name: np.array(array) for name, array in (step.state | (state or {})).items()}
        self._names = list(begins)
        self._places = [{name: value(np.array(array)) for name, array in begins.items()} for _ in range(2)]
        self._at = 0
        self._bindings = []
        for at in range(2):
            binding = self._session.io_binding()
            for name, held in (self._fixed | self._places[at]).items():
                binding.bind_ortvalue_input(name, held)
            for name, held in self._places[1 - at].items():
                binding.bind_ortvalue_output(after(name), held)
            self._bindings.append(binding)

    def begin(self, order, state=()):
        """Go to the beginning of an order of the rows, with the losses at 0.

        Parameters
        ----------
        order : (m,) int64 ndarray
        state : mapping of str to ndarray
            Values to go on with in place of those held.
        """
        self._order = self._value(order)
        for binding in self._bindings:
            binding.bind_ortvalue_input(ORDER, self._order)
        fresh = {POSITION: np.zeros(1, np.int64), LOSS: np.zeros((), np.float64)} | dict(state)
        for name, array in fresh.items():
            self._places[self._at][name].update_inplace(np.ascontiguousarray(array))

    def run(self, steps):
        """Take a number of steps."""
        run, bindings = self._session.run_with_iobinding, self._bindings
        for number in range(self._at, self._at + steps):
            run(bindings[number & 1])
        self._at = (self._at + steps) & 1

    @property
    def loss(self):
        """Sum of the losses since `begin`."""
        return float(self._places[self._at][LOSS].numpy())

    def state(self):
        """Return a copy of everything but the position and the losses."""
        held = self._places[self._at]
        return {name: held[name].numpy().copy() for name in self._names if name not in (POSITION, LOSS)}
