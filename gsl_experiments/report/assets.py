"""The libraries that every report carries: Vega for plots, DataTables for tables, each as one script."""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files

import altair as alt
import vl_convert

# (name, what for, licence, holders): the licences ask for these lines wherever the code goes
LIBRARIES = (
    (
        "Vega, Vega-Lite and Vega-Embed",
        "plots",
        "BSD-3-Clause",
        "University of Washington Interactive Data Lab",
    ),
    ("D3", "plots, inside Vega", "ISC", "Mike Bostock"),
    ("DataTables", "tables", "MIT", "SpryMedia Limited"),
    ("jQuery", "tables, inside DataTables", "MIT", "OpenJS Foundation and other contributors"),
    ("JSZip with pako", "inside the bundle of DataTables", "MIT", "Stuart Knightley and others"),
)


# Control characters and noncharacters, parse errors by the HTML standard
_NOT_IN_HTML = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
    + "]"
)


@lru_cache
def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that defines `vegaEmbed`."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_vega_lite_version())
    return safe_script(bundle)


@lru_cache
def tables_script() -> str:
    """DataTables as one script that defines `DataTable`: the bundle of itables without its module exports."""
    bundle = (files("itables") / "html" / "dt_bundle.js").read_text(encoding="utf-8")
    exported = re.search(r"export\s*\{[^}]*?([\w$]+) as default[^}]*\};?", bundle)
    if exported is None:
        raise RuntimeError(f"itables {version('itables')}: its bundle has no default export")
    body = bundle[: exported.start()] + f"window.DataTable={exported[1]};" + bundle[exported.end() :]
    return safe_script("(()=>{" + body + "\n})();")


def safe_script(text: str) -> str:
    """Script text that cannot end the element that it stands in, without characters that HTML does not know."""
    text = text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return _NOT_IN_HTML.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    """A character as JavaScript writes it in strings and regular expressions, where alone such characters stand."""
    return "".join(f"\\u{unit:04x}" for (unit,) in struct.iter_unpack(">H", found[0].encode("utf-16-be")))


def _vega_lite_version() -> str:
    """The version of Vega-Lite that the plots are written in, as major and minor number."""
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
