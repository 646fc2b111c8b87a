"""The handler of the configuration page's accounts: saved only after a sign-in and a read of one document.

What Splunk stores, and how, is UCC's handler's own. The file that splunkd starts is UCC's, too, and imports this one.
"""

from typing import Any

from secure_score_account import fault_of
from splunktaucclib.rest_handler.admin_external import AdminExternalHandler, get_splunkd_endpoint
from splunktaucclib.rest_handler.error import RestError

from connector.config.splunk_conf import is_on

SKIP = "skip_check"


class AccountHandler(AdminExternalHandler):
    """Create and edit ask first, but where the page says not to."""

    def handleCreate(self, confInfo: Any) -> Any:  # noqa: N802, N803 - Splunk's names
        self._ask()
        return super().handleCreate(confInfo)

    def handleEdit(self, confInfo: Any) -> Any:  # noqa: N802, N803
        self._ask()
        return super().handleEdit(confInfo)

    def _ask(self) -> None:
        skipped = is_on(self.payload.get(SKIP))
        self.payload[SKIP] = "0"  # for this once: nothing remembers that it was skipped
        if skipped:
            return
        fault = fault_of(get_splunkd_endpoint(), self.getSessionKey(), self.callerArgs.id, self.payload)
        if fault is not None:
            raise RestError(400, fault)
