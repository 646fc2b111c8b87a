"""Which index the shipped searches read: the macro's definition, and how it becomes one that names another index, too.

Pure text. Only what is a plain list of indexes is understood; whatever a site wrote instead is left as it is.
"""

import re
from fnmatch import fnmatchcase

MACRO = "ms_securescore_index"
SHIPPED = "index=main"
_NAME = r"[A-Za-z0-9_*][A-Za-z0-9_*-]*"
_LIST = re.compile(rf'\(?\s*index\s*=\s*"?({_NAME})"?((?:\s+OR\s+index\s*=\s*"?{_NAME}"?)*)\s*\)?')


def names(definition: str) -> list[str] | None:
    """The indexes, or globs of them, that a definition names; None when it is more than a list of them."""
    found = _LIST.fullmatch(definition.strip())
    return re.findall(rf'index\s*=\s*"?({_NAME})', definition) if found else None


def reads(definition: str, index: str) -> bool | None:
    """Whether searches look into this index; None when that cannot be told."""
    found = names(definition)
    return None if found is None else any(fnmatchcase(index, name) for name in found)


def widened(definition: str, index: str) -> str:
    """A definition that names this index as well; as it was shipped, it names this one instead."""
    found = names(definition)
    assert found is not None, "a site's own definition is its own"
    wanted = [index] if definition.strip() == SHIPPED else [*found, index]
    text = " OR ".join(f"index={name}" for name in wanted)
    return text if len(wanted) == 1 else f"({text})"
