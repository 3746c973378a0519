"""What several results say beside one another: rows as stored and centred, a basis and its controls."""

import textwrap

from srmfast import overview
from srmfast.controls import RANDOM
from srmfast.excerpts import COLUMNS, OFFSET_NOTED, finite, number, shorten
from srmfast.oscillation import telling_epsilon

_STANDARD = ("standard", "plusminus")
_SHOWN = 3  # comparisons of each kind, at most


def treatments(results):
    """Return the names (store, basis) of the results that are of the same rows as stored and with their mean subtracted.

    Parameters
    ----------
    results : Results

    Returns
    -------
    list of ((str, str), (str, str))
    """
    pairs, stored = [], {}
    for key, result in results.items():
        if _what(result)[0] and not result.attrs.get("centred"):
            stored.setdefault(_what(result), key)
    for key, result in results.items():
        if result.attrs.get("centred") and (other := stored.get(_what(result))):
            pairs.append((other, key))
    return pairs


def controls(results):
    """Return, for each basis of each store that has a random control, the names of its result and of its controls.

    Returns
    -------
    list of ((str, str), list of (str, str))
    """
    found = []
    for store, basis in results:
        if (store, basis + RANDOM) in results:
            beside = [(store, name) for name in _STANDARD if name != basis and (store, name) in results]
            found.append(((store, basis), [(store, basis + RANDOM), *beside]))
    return found


def lines(results):
    """Return both as lines of a summary, at the ε that tells most of the first of those compared.

    Parameters
    ----------
    results : Results
    """
    pairs, compared, told = treatments(results), controls(results), []
    drawn = {name for _, others in compared for name in others}

    def seen(key, epsilon):
        (one,) = overview.lines_of({key: results[key]}, (epsilon,) if epsilon in results[key].epsilon else ())
        return f"{one.ratio_words} ({number(one.peak)})"

    own = [(stored, centred) for stored, centred in pairs if stored not in drawn]
    for stored, centred in own[:_SHOWN]:
        at = telling_epsilon(results[stored])
        told.append(
            f"centre  {_name(stored)}, ε = {number(at)}: {seen(stored, at)} as stored, {seen(centred, at)} with the mean subtracted"
        )
    noted = max((results[stored].offset for stored, _ in pairs if finite(results[stored].offset)), default=0.0)
    if noted >= OFFSET_NOTED:
        told.append(f"mean    |mean|/rms = {noted:.2f}: what shows as stored and not centred is a picture of the mean")
    for one, others in compared[:_SHOWN]:
        at = telling_epsilon(results[one])
        beside = ", ".join(f"{shorten(other[1], 24)} {seen(other, at)}" for other in others)
        told.append(f"control {_name(one)}, ε = {number(at)}: {seen(one, at)}; beside it {beside}")
    if more := max(0, len(own) - _SHOWN) + max(0, len(compared) - _SHOWN):
        told.append(f"        … and {more} more of these")
    told = [line for text in told for line in _wrapped(text)]
    return [*told, "        (on/midway, and the peak in brackets)"] if told else []


def _wrapped(text):
    return textwrap.wrap(text, COLUMNS, subsequent_indent=" " * 8, break_on_hyphens=False, drop_whitespace=True)


def _what(result):
    attrs = result.attrs
    return attrs.get("store_location"), str(attrs.get("spec", {}).get("store")), attrs.get("basis_name")


def _name(key):
    return f"{shorten(key[0], 20)}, {shorten(key[1], 16)}"
