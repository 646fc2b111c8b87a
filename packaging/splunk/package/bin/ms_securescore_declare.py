"""Entry of the alert action: finds a new enough Python, then the add-on's own packages. Nothing else.

This file must parse on Python 3.9, or an older Splunk would answer with a syntax error instead of the reason.
"""

import re
import sys
from pathlib import Path

import secure_score_python

if secure_score_python.too_old():
    sys.stderr.write("ERROR ms_securescore_declare: " + secure_score_python.too_old() + "\n")
    sys.exit(1)

APP = Path(__file__).resolve().parent.parent
OTHERS = re.compile(r"[\\/]etc[\\/](apps|slave-apps|peer-apps)[\\/]")
sys.path[:] = [str(APP / "lib"), str(APP / "bin"), *(path for path in sys.path if not OTHERS.search(path))]

import secure_score_declare  # noqa: E402

sys.exit(secure_score_declare.main(sys.argv, sys.stdin))
