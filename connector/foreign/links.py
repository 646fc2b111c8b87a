"""Which foreign addresses are links: those of the web. Any other scheme runs something where somebody clicks."""

import re

from connector.foreign.characters import is_harmless

_WEB = re.compile(r"https?://[^/?#\s\\][^\s]*", re.IGNORECASE)


def web_address(text: str) -> str:
    """The address, as it stands, when it is http or https with a host; else ""."""
    return text if _WEB.fullmatch(text) and is_harmless(text) else ""
