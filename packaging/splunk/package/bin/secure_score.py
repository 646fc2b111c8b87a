"""Entry of the modular input `secure_score`: finds a new enough Python, then the add-on's own packages. Nothing else.

This file must parse on Python 3.9, or an older Splunk would answer with a syntax error instead of the reason.
"""

import sys
from pathlib import Path

if sys.version_info < (3, 13):
    found = "{}.{}".format(*sys.version_info)
    sys.stderr.write(
        "ERROR secure_score: this add-on needs Splunk 10.2 or newer, which runs it on Python 3.13; this is Python "
        + found
        + ". On an older Splunk let the Secure Score Connector service deliver by HTTP Event Collector and install "
        "ms_secure_score_knowledge instead.\n"
    )
    sys.exit(1)

APP = Path(__file__).resolve().parent.parent
# Other add-ons' folders may stand on the path of a splunkd process, with packages called like ours.
sys.path[:] = [str(APP / "lib"), str(APP / "bin"), *(path for path in sys.path if "/etc/apps/" not in path)]

import secure_score_input  # noqa: E402

sys.exit(secure_score_input.main(sys.argv))
