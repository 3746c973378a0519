"""Where a result comes from, how to make it again, and what to cite."""

import json
import shlex

from srmfast import __version__
from srmfast.page.sections import Section
from srmfast.spec import format_bytes

PAPER = "The Spotlight Resonance Method: Resolving the Alignment of Embedded Activations"
BIBTEX = f"""@article{{bird2025spotlight,
  title         = {{{{{PAPER}}}}},
  author        = {{Bird, George}},
  year          = {{2025}},
  eprint        = {{2505.13471}},
  archivePrefix = {{arXiv}}
}}"""
_STAGES = {"read": "reading", "decode": "decoding", "screen": "screening", "arcs": "counting arcs", "merge": "merging"}


def provenance(member, file):
    """Return where a result comes from.

    Parameters
    ----------
    member : Result, Neurons or Projection
    file : str or None
        Where it is saved.

    Returns
    -------
    Section
    """
    attrs, made = member.attrs, member.attrs.get("provenance", {})
    spec, asked = attrs.get("spec", {}), attrs.get("inputs", {})
    facts = [("Store", str(attrs.get("store_location", attrs["store_name"])))]
    facts.append(("Basis", f"{attrs['basis_name']} ({attrs['basis_kind']})"))
    versions = made.get("versions", {})
    facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    system = [f"Python {made['python']}"] if "python" in made else []
    facts.append(("Machine", ", ".join([*system, *(str(made[key]) for key in ("platform", "cpu") if key in made)])))
    facts.append(("Time", _time(made)))
    memory = f"{format_bytes(made['peak_rss'])} at the peak" if made.get("peak_rss") else ""
    read = f"{format_bytes(made['bytes_read'])} read" if made.get("bytes_read") else ""
    facts.append(("Memory", ", ".join(filter(None, [memory, read]))))
    prints = {"Spec": attrs.get("spec_digest"), "basis": spec.get("basis", {}).get("sha256")}
    store = spec.get("store", {})
    prints |= {f"store {name}": store.get(name) for name in ("header", "slices")}
    facts.append(("Fingerprints", tuple(f"{name}: {value}" for name, value in prints.items() if value)))
    texts = []
    if file and hasattr(member, "top_planes"):
        texts.append(("Run it again and compare, to the last count", f"srmfast reproduce {shlex.quote(file)}"))
    texts.append(("Spec: what determines every number", _settings(spec)))
    if asked:
        texts.append(
            ("Options it was asked for with", _settings({k: v for k, v in asked.items() if v not in (None, False, [])}))
        )
    return Section(
        "Where the numbers come from", facts=tuple((head, words) for head, words in facts if words), texts=tuple(texts),
        folded=True,
    )  # fmt: skip


def citation():
    """Return how to cite the method."""
    return Section(
        "How to cite",
        words=(
            f"The method: George Bird, “{PAPER}”, arXiv:2505.13471, 2025. The counts: srmfast {__version__}; say which ε, planes and "
            "basis they are of, and whether the mean was subtracted.",
        ),
        texts=(("BibTeX", BIBTEX),),
    )


def _time(made):
    seconds = made.get("seconds", {})
    if not seconds.get("total"):
        return ""
    stages = ", ".join(f"{words} {seconds[key]:.3g} s" for key, words in _STAGES.items() if seconds.get(key))
    threads = f" on {made['threads']} threads" if made.get("threads") else ""
    return f"{seconds['total']:.3g} s{threads}" + (f" ({stages}: seconds of all threads together)" if stages else "")


def _settings(values):
    return json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True)
