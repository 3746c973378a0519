"""The verdict under every combination of choices that an analyst could defend: a specification curve."""

import itertools
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from srmfast.engine import Request, execute, prepare
from srmfast.engine.choices import (
    CENTRING,
    LONG,
    MULTIPLE,
    PLANES,
    WITH,
    Choice,
    centrings,
    lengths_of_rows,
    measure_long,
    plane_sets,
    spread_epsilons,
    token_rows,
)
from srmfast.engine.events import ReadingsStarted, ignore
from srmfast.engine.plan import reading_seconds, time_class
from srmfast.engine.run import close
from srmfast.errors import InputError
from srmfast.family import UNITS, Family
from srmfast.robustness import FOUND, SpecificationCurve
from srmfast.spec import Resources

ROTATIONS = 99


@dataclass(frozen=True)
class Plan:
    """The readings of a curve, before any of them is done.

    Attributes
    ----------
    request : Request
        What all of them have in common, with every ε.
    choices : tuple of Choice
        All but ε. A run is one option of each and gives a reading for every ε.
    unvaried : tuple of (str, str)
        What is not varied, and why.
    seconds : float
        What they take, roughly.
    sure : bool
        Whether it is known that some rows are long, where that is varied.
    """

    request: Request
    choices: tuple
    unvaried: tuple
    seconds: float
    sure: bool = True

    @property
    def runs(self):
        """The option of each choice in every run, list of tuples of int."""
        return list(itertools.product(*(range(len(choice.options)) for choice in self.choices)))

    def request_of(self, run):
        """Return the Request of a run."""
        chosen = [choice.options[option][1] for choice, option in zip(self.choices, run, strict=True)]
        return replace(self.request, **{name: value for changes in chosen for name, value in changes.items()})

    def words_of(self, run):
        """Return what is varied in a run, in words."""
        said = [choice.options[at][0] for choice, at in zip(self.choices, run, strict=True) if len(choice.options) > 1]
        return ", ".join(said) or "nothing else is varied"

    def __str__(self):
        epsilons, runs = self.request.epsilon, self.runs
        lines = [f"{len(runs) * len(epsilons)} readings in {len(runs)} runs, {self.request.null} rotations each"]
        lines.append(f"  ε        {', '.join(f'{value:g}' for value in epsilons)}, all in each run")
        lines += [f"  run {at:<4} {self.words_of(run)}" for at, run in enumerate(runs, 1)]
        lines += [f"  not      {name}: {why}" for name, why in self.unvaried]
        if not self.sure:
            lines.append("  long     rows are looked for first: where there are none, half of these readings fall away")
        return "\n".join([*lines, f"  time     {time_class(self.seconds)}"])


def specification(
    store, basis="standard", *, epsilon=None, centring=CENTRING, first_tokens=WITH, long_rows=WITH, max_norm=MULTIPLE,
    planes=PLANES, null=ROTATIONS, seed=0, threads=None, memory=None, block_rows=None, on_event=ignore, **rows,
):  # fmt: skip
    """Judge a basis in every combination of choices: in how many does it hold, and on which choice does that hang?

    Parameters
    ----------
    store : array or path
        (n, d) rows, or any array or file that `srmfast.open_store` understands.
    basis : array, path, name or Basis
        (k, d) vectors; see `srmfast.load_basis`.
    epsilon : float or sequence of float, optional
        Cosines of the cone's half-angle. When omitted, some about those that a look at some rows suggests, as they are and with
        their mean subtracted; see `srmfast.engine.choices.spread_epsilons`.
    centring : sequence of {"raw", "centred"}
        Rows as stored, and with their mean subtracted.
    first_tokens : sequence of {"with", "without"}
        Whether the first position of each sequence that mask and lengths keep takes part: attention sinks are there. Varied
        where rows are those of (sequence, position).
    long_rows : sequence of {"with", "without"}
        Whether rows longer than `max_norm` take part. Varied where there are such rows.
    max_norm : float or str
        Times the median norm, or "abs:L".
    planes : sequence of str
        As in `srmfast.run`, and "halves": two options, the planes among either half of the basis vectors.
    null : int
        Rotations of the basis in each reading, at least 39.
    seed : int
        For bases, halves, planes, samples and rotations.
    threads, memory, block_rows : optional
        How to compute; they change no number.
    on_event : callable
        Receives the events of `srmfast.engine.events`.
    **rows
        labels, groups, mask, rows, sample and whatever else `srmfast.run` takes to say which rows there are.

    Returns
    -------
    SpecificationCurve

    Raises
    ------
    InputError
        Any value that cannot be used.

    Notes
    -----
    Why halves: opposite orders of a plane are one to the test, and in an orthonormal basis every vector is the neighbour of
    all others, so that neither "combinations" nor "neighbours" is another set of planes. What may differ is which vectors carry the
    verdict. A basis that rows align with is found in either half of its vectors; one vector that holds all rows, in one. Halves are
    drawn with the seed, parallel vectors together, of up to 724 vectors each.

    Rows of zero norm are never varied: they have no direction, and `zero_rows` changes the denominator of shares but neither effect
    nor p. Where the mean is subtracted they are rows like any others, whatever that option says.

    Every ε is judged in the family of all ε of its run, as `Result.alignment` does; readings are otherwise not corrected for
    one another, which is what `SpecificationCurve.joint` is for.
    """
    if "centre" in rows:
        raise InputError("the mean is one of the choices: say centring=('raw',), ('centred',) or both, not centre")
    request = Request(epsilon=0.5 if epsilon is None else epsilon, null=null, seed=seed, max_norm=max_norm, **rows)
    resources = Resources.resolve(threads, memory, block_rows)
    asked = dict(centring=centring, first_tokens=first_tokens, long_rows=long_rows, planes=planes)
    plan = make_plan(store, basis, request, resources, suggest=epsilon is None, on_event=on_event, **asked)
    return carry_out(plan, store, basis, resources, on_event=on_event)


def make_plan(
    store, basis, request, resources, *, suggest, centring=CENTRING, first_tokens=WITH, long_rows=WITH, planes=PLANES,
    reads=True, on_event=ignore, apart=False,
):  # fmt: skip
    """Find out which choices there are for a store and a basis.

    Parameters
    ----------
    store, basis
        As in `specification`; the basis may be a pair of a name and that.
    request : Request
        Its max_norm says which rows are long, its epsilon is kept unless one is suggested; 10 without.
    resources : Resources
    suggest : bool
        Whether ε is to be chosen here.
    centring, first_tokens, long_rows, planes
        As in `specification`.
    reads : bool
        Whether the store may be read for its norms; otherwise it is assumed that some rows are long.
    on_event : callable
    apart : bool
        Compile kernels in a process of their own.

    Returns
    -------
    Plan
    """
    if not request.null:
        raise InputError("every reading is a verdict and needs rotations of the basis, got null 0; 99 is a good choice")
    request = replace(request, keep="summary", max_norm=MULTIPLE if request.max_norm is None else request.max_norm)
    everything = replace(request, max_norm=None)
    member = _prepared(store, basis, everything, resources, on_event, compiles=reads, apart=apart)
    try:
        there = partial(measure_long, member, request, on_event) if reads else None
        found = [
            centrings(centring), token_rows(member, first_tokens), lengths_of_rows(request.max_norm, long_rows, there),
            *plane_sets(member, planes, request.seed),
        ]  # fmt: skip
        if suggest:
            everything = replace(everything, epsilon=spread_epsilons(member, centring))
    finally:
        close([member])
    choices = tuple(one for one in found if isinstance(one, Choice))
    plan, seconds = Plan(everything, choices, tuple(one for one in found if not isinstance(one, Choice)), 0.0), 0.0
    for run in () if reads else plan.runs:
        member = _prepared(store, basis, plan.request_of(run), resources, on_event, compiles=False)
        whole, halves = member.readings()
        seconds += reading_seconds(member.nbytes * (whole + halves / 2)) + member.counting_seconds()
        seconds += member.compared[0]
        close([member])
    return replace(
        plan, seconds=seconds, sure=reads or all(len(one.options) < 2 for one in choices if one.name == LONG)
    )


def carry_out(plan, store, basis, resources, *, on_event=ignore, apart=False):
    """Do every reading of a plan.

    Parameters
    ----------
    plan : Plan
    store, basis
        Those it was made for.
    resources : Resources
    on_event : callable
    apart : bool
        Compile kernels in a process of their own.

    Returns
    -------
    SpecificationCurve
    """
    columns, frames, chosen, results = [], [], [], []
    runs, e = plan.runs, len(plan.request.epsilon)
    for at, run in enumerate(runs):
        on_event(ReadingsStarted(at * e + 1, (at + 1) * e, len(runs) * e, plan.words_of(run)))
        request = plan.request_of(run)
        member = _prepared(store, basis, request, resources, on_event, apart=apart)
        results.append(result := next(iter(execute([member], request, resources, on_event=on_event).values())))
        if result.attrs["spec"]["store"] != results[0].attrs["spec"]["store"]:
            raise InputError(f"the store {member.store.location} has changed between two readings; do it again")
        alike = _alike(member, result, run)
        for reading, frame in _readings(result):
            columns.append(reading | {"alike": alike})
            frames.append(frame)
        chosen += [(*run, position) for position in range(e)]
    numbers = list(dict.fromkeys(column["alike"] for column in columns))
    names = [name for name in columns[0] if name != "alike"]
    options = [{"name": one.name, "options": [words for words, _ in one.options]} for one in plan.choices]
    options.append({"name": "ε", "options": [f"ε = {value:g}" for value in plan.request.epsilon]})
    return SpecificationCurve(
        **{name: np.array([column[name] for column in columns]) for name in names},
        chosen=np.array(chosen, np.int64),
        alike=np.array([numbers.index(column["alike"]) for column in columns], np.int64),
        score=np.stack([score for score, _ in frames], axis=1),
        called=np.stack([called for _, called in frames], axis=1).astype(np.uint8),
        attrs=_attrs(plan, options, results, runs),
    )


def _prepared(store, basis, request, resources, on_event, **more):
    basis = basis if isinstance(basis, tuple) else ("", basis)
    members = prepare([("", store)], [basis], request, resources, on_event=on_event, **more)
    if len(members) > 1:
        close(members)
        raise InputError(f"a specification curve is that of one store, got {len(members)} tensors; name one of them")
    return members[0]


def _readings(result):
    """Yield what one run says at each ε, and the score and the calls of every frame."""
    found = result.alignment()
    family = Family(result.null_phase, result.null_extreme, result.epsilon)
    for e, epsilon in enumerate(result.epsilon.tolist()):
        own = found.epsilons[e] if found.epsilons else found
        effect = [effect for effect in found.effects if effect.epsilon == epsilon][-1]  # of all labels
        score, called = family.frames(e)
        yield {
            "epsilon": epsilon, "verdict": own.verdict, "effect": effect.size, "low": effect.low, "high": effect.high,
            "near": effect.near, "far": effect.far, "detectable": effect.detectable, "p": own.p,
            "p_aligned": own.p_aligned, "p_anti": own.p_anti,
            "explained": np.uint8(found.explained and own.verdict in FOUND), "rows": result.attrs["rows"]["used"],
            "units": found.units,
        }, (score, called & (found.units >= UNITS))  # fmt: skip


def _alike(member, result, run):
    """Return a key that runs have in common when rotation m turns the basis alike in them.

    It is drawn for the span of the vectors used: of all of them, or of those that the seed draws among too many.
    """
    planes, about = member.bases[0].planes, result.attrs["null"]
    drawn = planes.most or not len(planes.pairs) or about["vectors"] == planes.k
    return about["vectors"], "drawn" if drawn else run


def _attrs(plan, options, results, runs):
    first = results[0].attrs
    unvaried = [{"name": name, "why": why} for name, why in plan.unvaried]
    unvaried.append({"name": "rows of zero norm", "why": _zero_words(plan, results, runs)})
    spec = {
        "epsilon": list(plan.request.epsilon), "rotations": plan.request.null, "seed": plan.request.seed,
        "basis": first["spec"]["basis"], "store": first["spec"]["store"], "runs": [one.attrs["spec_digest"] for one in results],
    }  # fmt: skip
    seconds = sum(one.attrs["provenance"]["seconds"]["total"] for one in results)
    return {
        "choices": options, "unvaried": unvaried, "rotations": plan.request.null, "spec": spec,
        "store_name": first["store_name"], "store_location": first["store_location"], "basis_name": first["basis_name"],
        "basis_kind": first["basis_kind"], "notes": list(first["notes"]),
        "mean_over_rms": [None if one.offset is None else float(one.offset) for one in results],
        "inputs": plan.request.to_dict(first["inputs"]["store"]),
        "provenance": first["provenance"] | {"seconds": {"total": round(seconds, 6)}},
    }  # fmt: skip


def _zero_words(plan, results, runs):
    """Say what rows of zero norm would change: nothing, as they have no direction."""
    raw = [result for run, result in zip(runs, results, strict=True) if plan.request_of(run).centre is False]
    if not raw:
        return "with the mean subtracted they are rows like any others"
    rows = raw[0].attrs["rows"]
    zero, used = rows["zero_norm"] + rows["zero_kept"], rows["used"] - rows["zero_kept"]
    if not zero:
        return "there are none"
    said = f"the {zero:,} there are have no direction, so that keeping or dropping them changes no effect and no p"
    if used < UNITS <= used + zero:
        said += f"; kept, they would make up for the {UNITS} rows that a verdict needs"
    return said if len(raw) == len(results) else f"{said}; with the mean subtracted they are rows like any others"
