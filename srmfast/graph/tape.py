"""The tape: what a gradient rule sees of the graph, and where it appends its nodes."""

from typing import NamedTuple

import numpy as np

from srmfast.errors import InputError
from srmfast.graph.writer import Writer


class Piece(NamedTuple):
    """A gradient that is zero but for a piece along one axis; a rule may return it in place of a name.

    Pieces that arrive side by side are joined, so what Split and neighbouring Slice or Gather nodes took apart is put
    together at the cost of one copy.

    Attributes
    ----------
    gradient : str
        Of the piece, with all axes of the whole.
    axis : int
    start : int or str
        Where the piece begins: a number, or the name of an int64 vector of one element.
    """

    gradient: str
    axis: int
    start: int | str


class Loose(NamedTuple):
    """A gradient that is to be broadcast to the shape of its tensor; a rule may return it in place of a name.

    It is broadcast only where a rule needs the whole: products and sums do that by themselves.
    """

    gradient: str


class Tape(Writer):
    """Gradients that flow backwards through a graph, and the nodes that compute them.

    A rule reads the shapes, types and constants of the forward graph here, and appends nodes with `op` and what
    is built on it in `Writer`.

    Parameters
    ----------
    known : Known
        Of the forward graph; extended by each node.
    taken : set of str
        Every name in use in the forward graph.
    wanted : set of str
        Tensors with respect to which a gradient is needed.
    """

    def __init__(self, known, taken, wanted):
        super().__init__(known, taken)
        self._wanted = wanted
        self._arriving = {}  # tensor -> gradients that meet there
        self._fuller = {}  # the first output of a node of the forward graph -> the node with more outputs

    def wanted(self, name):
        """Return whether a gradient with respect to that tensor is needed."""
        return name in self._wanted

    def attribute(self, node, name, default=None):
        """Return the value of an attribute, strings decoded, or `default`."""
        import onnx

        for attribute in node.attribute:
            if attribute.name == name:
                value = onnx.helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def given(self, node, i):
        """Return the name of input i, or None where it is omitted."""
        return node.input[i] if i < len(node.input) and node.input[i] else None

    def given_output(self, node, i):
        """Return the name of output i, or None where it is omitted."""
        return node.output[i] if i < len(node.output) and node.output[i] else None

    def output(self, node, i):
        """Return output i of a node of the forward graph, which is asked for it where it did not give it."""
        if self.given_output(node, i):
            return node.output[i]
        first = next(filter(None, node.output))
        if first not in self._fuller:
            self._fuller[first] = type(node)()
            self._fuller[first].CopyFrom(node)
        fuller = self._fuller[first]
        fuller.output.extend([""] * (i + 1 - len(fuller.output)))
        if not fuller.output[i]:
            fuller.output[i] = self._unique(node.op_type)
            self.known.add(fuller)
        return fuller.output[i]

    def forward(self, node):
        """Return a node of the forward graph with the outputs that rules asked for."""
        return self._fuller.get(next(filter(None, node.output), None), node)

    def of(self, node, i=0, *, loose=False):
        """Return the gradient of output i of a node, or None when nothing flows there.

        Where `loose`, its shape is one that broadcasts to that of the output.
        """
        name = self.given_output(node, i)
        return None if name is None else self.arrived(name, loose=loose)

    def settle(self, made, node, name):
        """Return the gradient of an operand from a product with a loose gradient of the node's output.

        Summed over the axes along which the operand was broadcast.
        """
        output = node.output[0]
        if not isinstance(self._arriving[output][0], Loose) or self.same_shape(made, output):
            return self.unbroadcast(made, name)
        if self.same_shape(name, output):
            return Loose(made)
        return self.unbroadcast(self.expand(made, output), name)

    def axes(self, node, i=1, *, rank):
        """Return the axes of a node, an attribute or its input i, as a list of int >= 0; None when it names none.

        Axes that are computed in the graph are refused.
        """
        axes = self.attribute(node, "axes")
        if axes is None and self.given(node, i):
            axes = self.value(node.input[i])
            if axes is None:
                raise InputError(
                    f"the axes of {node.op_type} {node.output[0]!r} differ between runs: make them constant"
                )
        return None if axes is None else [int(axis) % rank if rank else 0 for axis in np.ravel(axes)]

    def unbroadcast(self, gradient, like, *, matching=0):
        """Return a gradient summed over the axes along which `like` was broadcast to its shape.

        The last `matching` axes are known to have equal lengths.
        """
        source, target = self.extents(gradient), self.extents(like)
        if source == target and None not in source:
            return gradient
        extra = len(source) - len(target)
        padded = (1,) * extra + target
        summed, unsure = list(range(extra)), []
        for axis in range(extra, len(source) - matching):
            length, kept = source[axis], padded[axis]
            if kept == 1:
                summed += [axis] if length != 1 else []
            elif not (isinstance(kept, int) or (kept is not None and kept == length)):
                unsure.append(axis)
        if unsure:
            return self._unbroadcast_at_run_time(gradient, like, extra, summed, unsure)
        if not summed:
            self.known.declare(gradient, like)
            return gradient
        if extra and len(summed) == extra:
            return self.op_reduced(gradient, summed, like, keepdims=False)
        return self.reshape(self.reduce("ReduceSum", gradient, summed), like)

    def op_reduced(self, gradient, axes, like, *, keepdims):
        """Return a sum over axes, known to have the shape of `like`."""
        made = self.reduce("ReduceSum", gradient, axes, keepdims=keepdims)
        self.known.declare(made, like)
        return made

    def _unbroadcast_at_run_time(self, gradient, like, extra, summed, unsure):
        """Sum axes whose length is 1 in `like` only in some runs.

        Such an axis of length g is cut in two, (l, g - l + 1), l the length in `like`: (g, 1) where it was not
        broadcast, (1, g) where it was. The sum over the second is right either way.
        """
        pieces, axes = [], []
        for axis in range(self.rank(gradient)):
            length = self.length(gradient, axis)
            if axis in unsure:
                kept = self.length(like, axis - extra)
                pieces.append(kept)
                length = self.op("Add", self.op("Sub", length, kept), self.integers(1))
            if axis in unsure or axis in summed:
                axes.append(len(pieces))
            pieces.append(length)
        # An empty batch: 0 is a length here, not "as before".
        cut = self.op("Reshape", gradient, self.vector(pieces), allowzero=1 if self.opset >= 14 else None)
        made = self.reduce("ReduceSum", cut, axes, keepdims=False)
        return self.op("Reshape", made, self.shape(like), like=like)

    def pad(self, gradient, like, pieces):
        """Return a gradient with zeros around it, in the shape of `like`.

        Parameters
        ----------
        gradient, like : str
        pieces : list of (int, int or str)
            Axis and start of the gradient in it, as in `Piece`.
        """
        rank = self.rank(like)
        ahead, behind = [self.integers(0)] * rank, [self.integers(0)] * rank
        for axis, start in pieces:
            ahead[axis] = self.integers(start) if isinstance(start, int) else start
            lengths = [self.length(like, axis), ahead[axis], self.length(gradient, axis)]
            values = [self.value(length) for length in lengths]
            if all(value is not None for value in values):
                behind[axis] = self.integers(int(values[0][0] - values[1][0] - values[2][0]))
            else:
                behind[axis] = self.op("Sub", self.op("Sub", lengths[0], lengths[1]), lengths[2])
        pads = self.vector([*ahead, *behind])
        if self.opset >= 11:
            return self.op("Pad", gradient, pads, like=like)
        if self.value(pads) is None:
            raise InputError(f"the gradient of this graph needs opset 11 or later, got {self.opset}")
        return self.op("Pad", gradient, pads=self.value(pads).tolist(), like=like)

    def arrive(self, name, gradient):
        """Let a gradient arrive at a tensor: a name, a `Piece` or a `Loose` gradient."""
        self._arriving.setdefault(name, []).append(gradient)

    def arrived(self, name, *, loose=False):
        """Return the sum of the gradients that arrived at a tensor, or None."""
        parts = self._arriving.get(name)
        if not parts:
            return None
        total = self._sum(parts, name)
        self._arriving[name] = [total]
        if isinstance(total, Loose):
            return total.gradient if loose else self.expand(total.gradient, name)
        if self.known.type(name) is not None and not self.same_shape(total, name):
            self.known.declare(total, name)
        return total

    def _sum(self, parts, name):
        """Return the sum of gradients of all kinds."""
        whole = [part for part in parts if isinstance(part, str)]
        whole += self._joined([part for part in parts if isinstance(part, Piece)], name)
        small = [part.gradient for part in parts if isinstance(part, Loose)]
        both = whole + small
        total = both[0] if len(both) == 1 else self.op("Add" if len(both) == 2 else "Sum", *both)
        return total if whole else Loose(total)

    def _joined(self, pieces, like):
        """Return gradients of the shape of `like` made of pieces, neighbours joined to one."""
        runs = []  # lists of pieces, each beginning where the one before it ends
        known = [piece for piece in pieces if isinstance(piece.start, int)]
        for piece in sorted(known, key=lambda piece: (piece.axis, piece.start)):
            for run in runs:
                last = run[-1]
                length = self.extents(last.gradient)[last.axis]
                if last.axis == piece.axis and isinstance(length, int) and last.start + length == piece.start:
                    run.append(piece)
                    break
            else:
                runs.append([piece])
        runs += [[piece] for piece in pieces if not isinstance(piece.start, int)]
        made = []
        for run in runs:
            first = run[0]
            joined = first.gradient
            if len(run) > 1:
                joined = self.op("Concat", *(piece.gradient for piece in run), axis=first.axis)
            lengths = [self.extents(name)[first.axis] for name in (joined, like)]
            whole = first.start == 0 and lengths[0] == lengths[1] and isinstance(lengths[0], int)
            made.append(joined if whole else self.pad(joined, like, [(first.axis, first.start)]))
        return made
