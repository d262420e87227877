"""Sphinx: the pages of docs/ and the documentation of the packages. `make docs` builds it, warnings being errors."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

project = "gfsharp"
author = "The gfsharp contributors"
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["static"]
html_css_files = ["wide.css"]
myst_heading_anchors = 3

# A page for each module, written anew into docs/api/ at each build. One module has the name of its function; the
# page of its package has that.
apidoc_modules = [
    {
        "path": f"../src/{package}",
        "destination": f"api/{package}",
        "exclude_patterns": ["../src/gfsharp/networks/fully_connected.py"],
        "separate_modules": True,
        "module_first": True,
        "automodule_options": {"members"},
    }
    for package in ("gfsharp", "replication")
]
autodoc_member_order = "bysource"
# Signatures name these as the code does, and not by what they stand for.
autodoc_type_aliases = {
    name: name for name in ("Array", "ArrayLike", "Bools", "Config", "Descent", "Floats", "Integers", "Loss", "Product")
}
# Of a class that its package shows too both pages are right; a reference that leads nowhere is of another kind.
suppress_warnings = ["ref.python"]
napoleon_use_ivar = True
napoleon_attr_annotations = False

# References within the project have to lead somewhere. Those to other packages cannot: their pages are not at hand.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|matplotlib|np|numpy|pandas|pathlib|pd|scipy|torch|tqdm)\..*"),
    (r"py:.*", "|".join([*autodoc_type_aliases, "NDArray", "Path", "tqdm", "TypeAliasForwardRef", "V"])),
    (r"py:.*", "Axes|Columns|Figure"),
    (r"py:.*", r"(dict|tuple|typing\.Literal)\[.*"),  # the first half of one that names an alias
    (r"py:.*", r"(gfsharp\.descent\.)?(V|Status|Descent)|table_schema\.Columns"),
]


def link_to_files(app, docname, source):
    """Lead links to files beside docs/ from the pages that are built to the files themselves."""
    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\((\.\./[^)\s]+)\)", r'<a href="../../\2">\1</a>', source[0])


def join_names(app, what, name, obj, options, lines):
    """Keep attributes that share a description together: of two names Sphinx takes the first for a type."""
    for i, line in enumerate(lines):
        if line.startswith(":ivar "):
            names, text = line.split(": ", 1)
            lines[i] = f"{names.replace(', ', ',')}: {text}"


def setup(app):
    app.connect("source-read", link_to_files)
    app.connect("autodoc-process-docstring", join_names)
