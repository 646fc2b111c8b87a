"""Which Python the add-on needs, and the one sentence for an older one. Nothing of the add-on is imported here.

Every file that splunkd starts asks here first: the input's entry, and the pages' handlers (import_declare_test.py,
which each of them imports before anything else). It must parse on Python 3.9, or an older Splunk would answer with a
syntax error instead of the reason.
"""

import sys

NEEDED = (3, 13)


def too_old() -> str:
    """The sentence for an older Python, else ""."""
    if sys.version_info >= NEEDED:
        return ""
    return (
        "this add-on needs Splunk 10.2 or newer, which runs it on Python 3.13; this is Python {}.{}. On an older "
        "Splunk let the Secure Score Connector service deliver by HTTP Event Collector and install "
        "ms_secure_score_knowledge instead."
    ).format(*sys.version_info)


def refuse_pages() -> None:
    """In a handler of the pages, on an older Python: answer every request with the sentence, and end."""
    words = too_old()
    if not words:
        return
    from splunk import admin  # noqa: PLC0415 - Splunk's own

    class Refusing(admin.MConfigHandler):
        """The first thing that splunkd asks of a handler is its setup. The pages show what stands behind the dashes."""

        def setup(self) -> None:
            raise RuntimeError("REST Error [400]: Bad Request -- " + words[0].upper() + words[1:])

    admin.init(Refusing, admin.CONTEXT_APP_ONLY)
    sys.exit(0)
