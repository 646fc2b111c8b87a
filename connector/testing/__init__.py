"""What the author of a plug-in tests with: the contract that every sink keeps (sink_contract.py).

Needs pytest and pytest-asyncio (the extra `testing`), and is therefore imported by tests alone: nothing of the product
may know it. No test of this project lives here.
"""

import pytest

pytest.register_assert_rewrite("connector.testing.sink_contract")
