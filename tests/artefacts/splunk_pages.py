"""Asks the handlers of the built add-on's pages as splunkd does, with a stand-in for Splunk's own module `splunk`.

The stand-in keeps what is known of the real one: a handler is set up, then asked; whatever it raises reaches the page
as text, and the page shows what stands behind the dashes. What a handler would store is answered, not stored: that part
is Splunk's and UCC's own. No assertions.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.artefacts.splunk_packages import ADDON, BARE

HANDLERS = tuple(f"{ADDON.lower()}_rh_{name}.py" for name in ("account", "settings", "secure_score"))

_ADMIN = '''
import json, sys

ACTION_CREATE, ACTION_LIST, ACTION_EDIT, ACTION_REMOVE = 1, 2, 4, 8
CONTEXT_APP_ONLY = 1
EAI_ENTRY_ACL = "eai:acl"


class Arguments:
    def addReqArg(self, name): pass
    def addOptArg(self, name): pass


class Caller:
    def __init__(self, asked):
        self.id, self.data = asked["name"], {key: [value] for key, value in asked["fields"].items()}


class MConfigHandler:
    def __init__(self, *_):
        self.requestedAction = ASKED["action"]
        self.callerArgs, self.supportedArgs = Caller(ASKED), Arguments()

    def getSessionKey(self):
        return ASKED["session"]


class Item(dict):
    def setMetadata(self, *_): pass


class Answer(dict):
    def __missing__(self, name):
        return self.setdefault(name, Item())


def init(handler, ctxInfo=None):
    global ASKED
    ASKED = json.loads(sys.stdin.read())
    if "splunktaucclib" in sys.modules:
        record()
    answer = Answer()
    try:
        asked = handler()
        asked.setup()
        getattr(asked, {1: "handleCreate", 2: "handleList", 4: "handleEdit"}[ASKED["action"]])(answer)
    except Exception as error:
        words = f'Unexpected error "{type(error)}" from python handler: "{error}". See splunkd.log for more details.'
        print(json.dumps({"error": words}))
    else:
        print(json.dumps({"stored": STORED}))


STORED = {}


def record():
    """Instead of asking splunkd to store it."""
    from splunktaucclib.rest_handler import admin_external

    class Recorder:
        def __init__(self, *_): self.endpoint = _[2]
        def get_endpoint(self): return self.endpoint
        def create(self, name, fields): STORED[name] = dict(fields); return []
        update = create
        def disable(self, name): STORED[name] = {"disabled": "1"}; return []

    admin_external.RestHandler = Recorder
'''


@frozen
class Shown:
    """What a page got: what would be stored, or the words of an error."""

    stored: Mapping[str, Mapping[str, str]] | None
    words: str
    err: str


def installed(tree: Path, folder: Path) -> Path:
    """The add-on where splunkd has it, below etc/apps, and the stand-in beside; the folder of its programs."""
    apps = folder / "etc" / "apps"
    if not apps.exists():
        apps.mkdir(parents=True)
        (apps / ADDON).symlink_to(tree)
        stand_in = folder / "splunk-python" / "splunk"
        stand_in.mkdir(parents=True)
        (stand_in / "__init__.py").write_text("class RESTException(Exception): pass\n")
        (stand_in / "admin.py").write_text(_ADMIN)
    return apps / ADDON / "bin"


def ask(
    tree: Path,
    folder: Path,
    python: str,
    handler: str,
    name: str,
    fields: Mapping[str, str],
    *,
    action: int = 1,
    uri: str = "http://127.0.0.1:1",
    session: str = "",
) -> Shown:
    """Let a handler create (1), list (2) or edit (4) something."""
    script = installed(tree, folder) / handler
    environment = {
        **BARE,
        "PYTHONPATH": str(folder / "splunk-python"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPLUNKD_URI": uri,
        "SPLUNK_HOME": str(folder),
    }
    asked: dict[str, Any] = {"action": action, "name": name, "fields": dict(fields), "session": session}
    done = subprocess.run(
        [python, str(script)], input=json.dumps(asked), env=environment, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    if not lines:
        return Shown(None, "", done.stderr)
    answer = json.loads(lines[-1])
    words = answer.get("error", "").partition(" -- ")[2].partition('". See splunkd.log')[0] or answer.get("error", "")
    return Shown(answer.get("stored"), words, done.stderr)
