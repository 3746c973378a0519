"""A page from results: which sections there are, in which order, and how much room each has."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from srmfast.errors import InputError
from srmfast.page.neurons import neurons_section
from srmfast.page.projections import projection_section
from srmfast.page.provenance import citation
from srmfast.page.several import several
from srmfast.page.specification import specification_section
from srmfast.page.spotlight import name_of, spotlight
from srmfast.page.writing import render, write
from srmfast.projection import Projection
from srmfast.results import Result, Results
from srmfast.robustness import SpecificationCurve
from srmfast.selectivity import Neurons

SUFFIX = ".html"
_ALONE, _ALL = 1_750_000, 8_000_000  # characters that the counts of one result, and of all, may take
MEMBERS = 60  # results on one page, at most


def report_page(results, path=None, *, title=None, force=False):
    """Make a page of one result or several.

    Parameters
    ----------
    results : Result, Results, Neurons, Projection, Projections, SpecificationCurve, or a sequence of them or of paths, or dict of names to them
        Paths of saved results are loaded.
    path : str or Path, optional
        The .html file to write, whole or not at all.
    title : str, optional
        Of the page; made from the results when omitted.
    force : bool
        Whether an existing file may be replaced.

    Returns
    -------
    str
        The page.

    Raises
    ------
    InputError
        Nothing to show, something that is no result, too many of them; or a file that exists or cannot be written.

    Notes
    -----
    One result of 2,000 planes, 360 angles and three epsilons makes 2 MB at most. Of more planes it holds the highest, and
    mean, median and bands over all.
    """
    if path is not None:
        path = check_page(path, force=force)
    members = _members(results)
    if not 1 <= len(members) <= MEMBERS:
        raise InputError(f"a page holds 1 to {MEMBERS} results, got {len(members)}; give fewer of them")
    sections, data = _sections(members)
    text = render(title or _title(members), sections, data)
    if path is not None:
        write(path, text)
    return text


def check_page(path, *, force=False):
    """Return the path of a page to be, after checking its suffix, and that it may be written."""
    from srmfast.archive import check_output

    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"a page must end in {SUFFIX}, got {path}")
    return check_output(path, force=force, folder=False)


def _members(results):
    """Return ((store, basis), result, file) of everything to be shown, no two of one name."""
    if isinstance(results, (str, Path, Results)) or not isinstance(results, (Mapping, list, tuple)):
        results = [results]
    named = results.items() if isinstance(results, Mapping) else [(None, one) for one in results]
    found = []
    for own, one in named:
        file = None
        if isinstance(one, (str, Path)):
            from srmfast.archive import load

            file, one = str(one), load(one)
        if isinstance(one, Results):
            found += [
                ((store if own is None else f"{own}: {store}", basis), each, file)
                for (store, basis), each in one.items()
            ]
        elif isinstance(one, (Result, Neurons, Projection, SpecificationCurve)):
            store = one.attrs["store_name"] if own is None else own
            found.append(((str(store), str(one.attrs["basis_name"])), one, file))
        else:
            raise InputError(
                f"a page shows results, neurons, projections and specification curves, got {type(one).__name__}"
            )
    return _apart(found)


def _apart(members):
    """Tell members of one name apart by their file, or by a number."""
    keys = [key for key, _, _ in members]
    taken, found = set(), []
    for (store, basis), one, file in members:
        plain = f"{Path(file).stem}: {store}" if keys.count((store, basis)) > 1 and file else store
        store, n = plain, 2
        while (store, basis) in taken:
            store, n = f"{plain} ({n})", n + 1
        taken.add((store, basis))
        found.append(((store, basis), one, file))
    return found


def _sections(members):
    """Return the sections of a page, and the numbers of its charts by key."""
    room = min(_ALONE, _ALL // len(members))
    compared = {key: one for key, one, _ in members if isinstance(one, Result)}
    sections, data, drawn = [], {}, []
    for n, (names, one, file) in enumerate(members):
        key, name = f"r{n}", name_of(*names)
        folded = len(members) > 1 and (n > 0 or len(compared) > 1)
        if isinstance(one, Result):
            section, data[key] = spotlight(one, name, file, room, key, folded=folded)
            drawn.append(key)
        elif isinstance(one, Neurons):
            section = neurons_section(one, name, file, folded=folded)
        elif isinstance(one, SpecificationCurve):
            section = specification_section(one, name, file, folded=folded)
        else:
            section, data[key] = projection_section(one, name, file, key, folded=folded)
        sections.append(
            section if len(members) > 1 else replace(section, title="What was found")
        )  # the page has its name
    if len(compared) > 1:
        sections.insert(0, several(compared, drawn))
    return [*sections, citation()], data


def _title(members):
    """Name the page by what its results have in common."""
    if len(members) == 1:
        return name_of(*members[0][0])
    stores = list(dict.fromkeys(str(one.attrs["store_name"]) for _, one, _ in members))
    return f"{', '.join(stores[:3])}{', …' if len(stores) > 3 else ''}: {len(members)} results"
