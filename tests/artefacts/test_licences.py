"""Licences: SECURITY.md lists exactly what the lock installs, each under the licence that it states itself."""

import re
from importlib import metadata

from tests.artefacts.host_packages import ROOT

SPELLINGS = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""How projects without a licence expression say it, in classifiers."""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def stated(name: str) -> str:
    """The licence of an installed project by its own metadata."""
    about = metadata.metadata(name)
    classes = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    # Older metadata has the whole text, or just a name, in "License".
    words = next(iter(about.get_all("License-Expression") or classes or about.get_all("License") or []), "")
    return SPELLINGS.get(words, words)


def test_the_table_of_licences_is_that_of_the_lock() -> None:
    table = (ROOT / "SECURITY.md").read_text().partition("| licence | projects |")[2]
    rows = re.findall(r"(?m)^\| ([^|]+) \| ([^|]+) \|$", table.partition("\n\n")[0])
    listed = {plain(name): licences for licences, names in rows for name in names.split(", ")}
    locked = {plain(name) for name in re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements.lock").read_text())}
    assert listed.keys() == locked
    for name, licences in listed.items():
        assert stated(name) in licences.split(", "), name
