"""What the mean over planes says at each ε: where it peaks, and whether basis directions hold more rows than those midway."""

import math

import numpy as np

from srmfast.excerpts import UNDERFLOW, first_hit, number, part, shared_angle, times
from srmfast.results import centre_of_peak

EVEN = 1.1  # ratios below this are not worth a word
ENOUGH = 30  # rows near a direction that a ratio in words rests on, at least


def peaks(pooled):
    """Return the table of a result's epsilons, columns and rows as text: peaks of the mean, where, and beside what."""
    shared, found = shared_angle(pooled), []
    for epsilon, curve, expected in zip(pooled.epsilon, pooled.mean()[0], pooled.null(), strict=True):
        on, midway = on_and_midway(curve, shared)
        at, on, midway = peak_turn(pooled, curve), number(on), number(midway) if midway is not None else ""
        ratio = times(curve.max() / expected) if expected > 0 else times(math.inf)
        row = (number(curve.max()), at, on, midway, number(expected or UNDERFLOW), ratio)
        found.append((number(epsilon), *(row if curve.any() else ("0", *[""] * 5))))
    on, midway = ("on b_i, b_j", "midway") if shared is not None else ("on b_i", "")
    return ("ε", "peak", "", on, midway, "isotropic rows", "peak/isotropic"), found


def rows_near(pooled, values):
    """Return roughly how many distinct rows stand behind means over planes: a row near b_i counts in all its planes."""
    return [value * int(pooled.rows[0]) * len(pooled.basis) for value in values if value is not None]


def telling(pooled, mean, shared):
    """Return the position of the highest ε at which the mean on and midway rests on enough rows, else the first hit.

    At low ε a row is in the cones of neighbouring basis directions at once, and midway collects them all.
    """
    for at in np.argsort(-pooled.epsilon):
        if sum(rows_near(pooled, on_and_midway(mean[at], shared))) >= ENOUGH:
            return at
    return first_hit(pooled)


def telling_epsilon(result):
    """Return the ε at which the curve of a result tells most; see `telling`."""
    pooled = part(result)
    return float(pooled.epsilon[telling(pooled, pooled.mean()[0], shared_angle(pooled))])


def on_and_midway(curve, shared):
    """Return a curve's mean at b_i and b_j and its value midway between; (at b_i, None) when planes differ in angle."""
    if shared is None:
        return float(curve[0]), None
    grid = np.arange(curve.size + 1) * (2 * np.pi / curve.size)
    at = np.interp([0.0, shared, shared / 2], grid, np.append(curve, curve[0]))
    return float(at[:2].mean()), float(at[2])


def oscillation(pooled, position, shared, curve):
    """Return the sentence on the mean at one ε, in indented lines of a summary."""
    epsilon = pooled.epsilon[position]
    on, midway = on_and_midway(curve, shared)
    at = f"        at ε = {number(epsilon)} the mean"
    if midway is None:
        why = "planes differ in their angle" if pooled.plane_angle.size else "the planes' angles were not kept"
        return [f"{at} runs from {number(curve.min())} to {number(curve.max())} ({why})"]
    if midway == 0 and on == 0:
        return [f"{at} holds nothing on the basis directions nor midway between them"]
    near = rows_near(pooled, (on, midway))
    if sum(near) < ENOUGH:
        rows = f"about {sum(near):.0f} rows" if sum(near) >= 0.5 else "hardly a row"
        return [f"{at} rests on {rows} near these directions: too few to compare them"]
    # Two standard errors of the ratio of two counts; a factor below it, or below EVEN, is not worth a word.
    even = max(EVEN, math.exp(2 * math.sqrt(sum(1 / max(rows, 1) for rows in near))))
    if midway == 0:
        return [f"{at} oscillates: basis directions hold rows, the directions midway hold none"]
    if on > midway * even:
        return [f"{at} oscillates: basis directions hold {times(on / midway)} what the directions midway hold"]
    if midway <= on * even:
        return [
            f"{at} is level: basis directions hold {on / midway:.2f}x what the directions midway hold",
            f"        (with so few rows, less than {even:.2f}x either way may be chance)"
            if even > EVEN
            else f"        (less than {even:.2f}x either way is not worth a word)",
        ]
    ratio = f"{times(midway / on)} what basis directions hold" if on else "rows, basis directions hold none"
    lines = [f"{at} oscillates: the directions midway hold {ratio}"]
    reach = math.cos(shared / 2)
    if epsilon <= reach:
        lines.append(f"        (at ε ≤ {reach:.2f} a row on b_i or b_j counts midway too: compare with a higher ε)")
    return lines


def turn(angle):
    """Return an angle in both ways that people read: '0.50π (90°)'."""
    return f"{angle / math.pi:.2f}π ({math.degrees(angle):.0f}°)"


def peak_turn(result, curve):
    """Return where a curve peaks: at b_i when it is as high there as anywhere, else in the middle of its top."""
    return turn(result.angle[0 if curve[0] == curve.max() else centre_of_peak(curve)])
