"""A page as text: the template filled, scripts and styles inlined and named by their hashes, data that cannot break out."""

import base64
import hashlib
import json
from importlib.resources import files

from srmfast import __version__
from srmfast.errors import InputError
from srmfast.whole import whole_file

STYLES = ("uplot/uPlot.min.css", "page.css")
SCRIPTS = (
    "uplot/uPlot.iife.min.js",
    "decode.js",
    "member.js",
    "panel.js",
    "planes.js",
    "curves.js",
    "discs.js",
    "tables.js",
    "start.js",
)
_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def render(title, sections, data):
    """Return the page.

    Parameters
    ----------
    title : str
    sections : list of Section
    data : dict
        Numbers of the charts by key.

    Returns
    -------
    str
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("srmfast.page", "assets"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    styles, scripts = ([_asset(name) for name in names] for names in (STYLES, SCRIPTS))
    return environment.get_template("page.html").render(
        title=title, sections=sections, version=__version__, policy=_policy(styles, scripts),
        styles=[Markup(text) for text in styles], scripts=[Markup(text) for text in scripts],
        data=Markup(as_data(data)), as_data=lambda value: Markup(as_data(value)),
    )  # fmt: skip


def as_data(value):
    """Return JSON in which nothing ends a script element or starts a comment or an entity."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED)


def write(path, text):
    """Write a page, whole or not at all."""
    try:
        with whole_file(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise InputError(f"output must be writable, got {path}: {error.strerror}") from None


def _asset(name):
    return files("srmfast.page").joinpath("assets", name).read_text(encoding="utf-8")


def _policy(styles, scripts):
    """Allow nothing but these very scripts and styles: no network, no other code, no forms."""

    def hashes(texts):
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes(scripts)}; style-src {hashes(styles)}; connect-src 'none'; base-uri 'none'; "
        "form-action 'none'"
    )
