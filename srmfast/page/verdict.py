"""The verdict of a result for a reader without statistics: one word, one sentence, and everything that must be said beside it."""

import math

from srmfast import verdicts
from srmfast.page.sections import Section, Verdict
from srmfast.report import facts

PLAIN = {
    "aligned": "Rows gather along the vectors of this basis, more than chance explains.",
    "anti-aligned": "Rows gather between the vectors of this basis and keep away from them, more than chance explains.",
    "mixed": "In some planes, labels or cones rows gather along the vectors of this basis, in others they keep away from them, "
    "both more than chance explains.",
    "none": "Rows take no notice of this basis. A random rotation of it looks the same, and an effect worth the name would have "
    "been seen.",
    "undecided": "These rows cannot tell. No difference from a random rotation of the basis was seen, but one may be there.",
}
_EXPLAINED = "Mean and covariance of the rows are enough to bring it about."
_UNTESTED = "Not tested against chance. The curves say what is there, not whether a random basis would show it too."
_HEADS = {
    "verdict": "In the field's words", "effect": "How large it is", "by ε": "By size of the cone", "labels": "By label",
    "planes": "Single planes", "beside": "To be read beside it", "note": "Mind",
}  # fmt: skip
_SAID = {
    "mean": "The mean of the rows",
    "repeats": "Repeated rows",
    "norms": "Norms",
    "note": "Notes",
    "curve": "The curve",
}


def verdict(result):
    """Return the verdict of a result and everything said beside it.

    Parameters
    ----------
    result : Result

    Returns
    -------
    Section
    """
    judged = result if result.counts_heldout is None else result.heldout()
    about = _grouped((_SAID[head], words) for head, words in _paragraphs(facts(judged)) if head in _SAID)
    if result.null_phase is None:
        found = Verdict("", _UNTESTED, "For a verdict run again with --null 99.")
        return Section("Verdict", verdict=found, facts=about)
    alignment = result.alignment()
    effect = alignment.effect
    shown = None
    if effect.near + effect.far:
        known = not math.isnan(effect.low)
        shown = {
            "size": effect.size,
            "low": effect.low if known else None,
            "high": effect.high if known else None,
            "epsilon": effect.epsilon,
        }
    plain = PLAIN[alignment.verdict] + (f" {_EXPLAINED}" if alignment.explained else "")
    said, last = [], ""
    for head, words in verdicts.said(alignment):
        last = _HEADS.get(head, head) or last
        said += [(last, part) for part in (words.split("; ") if head == "beside" else [words])]
    found = Verdict(alignment.verdict, plain, verdicts.headline(alignment), shown)
    return Section("Verdict", verdict=found, facts=_grouped(said[1:]) + about)


def _paragraphs(lines):
    """Return the lines of a summary as (head, text), whatever stands under one head together."""
    found = []
    for line in lines:
        head, words = line[:8].strip(), line[8:].strip()
        if head:
            found.append([head, words])
        else:
            found[-1][1] = f"{found[-1][1]} {words}".strip()
    return found


def _grouped(pairs):
    """Return heads with everything said of them, in the order of their first."""
    found = {}
    for head, words in pairs:
        plain = words.partition(" ")[0].isalpha() and len(words.partition(" ")[0]) > 1  # not p, ε, |mean|/rms
        found.setdefault(head, []).append(words[0].upper() + words[1:] if plain else words)
    return tuple((head, words[0] if len(words) == 1 else tuple(words)) for head, words in found.items())
