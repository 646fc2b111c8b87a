"""The documents store in Azure blobs keeps both contracts, on a real Azurite."""

import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from connector.clock import SimulatedClock
from connector.errors import StoreError
from connector.stores import blob
from connector.stores.blob import Blobs, open_store
from connector.stores.documents import DocumentsStore
from tests.contract.documents_contract import DocumentsContract
from tests.contract.store_contract import CONTOSO, Home, StoreContract
from tests.real.azurite import azurite

pytest.importorskip("azure.storage.blob", reason="pip install secure-score-connector[azure]")
from azure.storage.blob.aio import ContainerClient

# aiohttp's advice about bodies above 1 MiB: a document goes in one request on purpose (see blob.py), as bytes.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

_numbers = itertools.count()


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite(tmp_path_factory.mktemp("azurite")) as connection_string:
        yield connection_string


@pytest_asyncio.fixture
async def container(account: str) -> str:
    name = f"state-{next(_numbers)}"
    async with ContainerClient.from_connection_string(account, name) as client:
        await client.create_container()
    return name


class Container:
    def __init__(self, account: str, container: str) -> None:
        self.account = account
        self.container = container
        self.clock = SimulatedClock(datetime(2026, 11, 22, 9, tzinfo=UTC))

    async def open(self) -> DocumentsStore:
        return open_store(
            clock=self.clock, container=self.container, connection_string=self.account, prefix="connector/"
        )

    async def beside(self) -> DocumentsStore:
        return await self.open()

    async def copy(self) -> object:
        async with ContainerClient.from_connection_string(self.account, self.container) as client:
            names = [blob.name async for blob in client.list_blobs()]
            return {name: await (await client.download_blob(name)).readall() for name in names}

    async def restore(self, copy: object) -> None:
        assert isinstance(copy, dict)
        async with ContainerClient.from_connection_string(self.account, self.container) as client:
            for name in [blob.name async for blob in client.list_blobs()]:
                await client.delete_blob(name)
            for name, body in copy.items():
                await client.upload_blob(name, body)


class TestBlobStore(StoreContract):
    @pytest.fixture
    def home(self, account: str, container: str) -> Home:
        return Container(account, container)

    @pytest.mark.parametrize("seed", range(1))  # fewer than elsewhere: each takes hundreds of requests
    async def test_any_course_of_events_is_as_the_model_says(self, home: Home, seed: int) -> None:
        await super().test_any_course_of_events_is_as_the_model_says(home, seed)


class TestBlobs(DocumentsContract):
    @pytest_asyncio.fixture
    async def documents(self, account: str, container: str) -> AsyncIterator[Blobs]:
        yield Blobs(ContainerClient.from_connection_string(account, container), "shared/")

    async def test_a_prefix_keeps_two_stores_apart(self, account: str, container: str, documents: Blobs) -> None:
        await documents.create("a/1", b"x")
        other = Blobs(ContainerClient.from_connection_string(account, container), "other/")
        assert dict(await other.list("")) == {}
        assert await other.get("a/1") is None
        await other.close()


async def test_what_is_larger_than_any_document_is_not_read(
    account: str, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else put it there: it counts as damaged, for it fails the check of every document."""
    documents = Blobs(ContainerClient.from_connection_string(account, container))
    await documents.create("a/1", bytes(1_000))
    monkeypatch.setattr(blob, "ONE_REQUEST_BYTES", 999)
    assert await documents.get("a/1") == b""
    await documents.close()


async def test_a_missing_container_is_named(account: str) -> None:
    async with await Container(account, "nowhere").open() as store:
        with pytest.raises(StoreError, match="nowhere") as caught:
            await store.load(CONTOSO)
        assert "container" in caught.value.hint
