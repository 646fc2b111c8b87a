"""What the add-on asks of splunkd: stanzas, secrets in chunks, and refusals that say what to do."""

from collections.abc import Iterator

import pytest

from connector.errors import ConfigError, Denied, Unavailable
from connector.homes import splunkd as asked
from tests.fakes.kvstore import APP, Splunkd, collection, service, splunkd, stored_secret

CONF = "ta_account"
LONG = "s3cret/" * 100


@pytest.fixture
def fake() -> Iterator[Splunkd]:
    with splunkd() as state:
        state.confs = {CONF: {"contoso": {"tenant_id": "1111", "cloud": "global"}}}
        state.secrets = [
            {"realm": "another add-on", "username": "contoso``splunk_cred_sep``1", "clear_password": "{}"},
            *reversed(stored_secret(APP, CONF, "contoso", {"client_secret": LONG})),
            *stored_secret(APP, CONF, "contoso2", {"client_secret": "other"}),
            {
                "realm": f"__REST_CREDENTIAL__#{APP}#configs/conf-{CONF}",
                "username": "old",
                "clear_password": '{"k":"v"}',
            },
            {
                "realm": f"__REST_CREDENTIAL__#{APP}#configs/conf-{CONF}",
                "username": "bad",
                "clear_password": "nonsense",
            },
        ]
        yield state


def test_reads_a_stanza_as_text(fake: Splunkd) -> None:
    found = asked.stanza(service(fake), CONF, "contoso")
    assert (found["tenant_id"], found["eai:acl"]) == ("1111", "")
    assert asked.stanza(service(fake), CONF, "nobody") == {}
    assert asked.stanza(service(fake), CONF, "../conf-other/x") == {}


def test_puts_a_secret_together_from_its_chunks(fake: Splunkd) -> None:
    assert asked.secrets(service(fake), APP, CONF, "contoso") == {"client_secret": LONG}
    assert asked.secrets(service(fake), APP, CONF, "contoso2") == {"client_secret": "other"}
    assert asked.secrets(service(fake), APP, CONF, "old") == {"k": "v"}, "one chunk without a number, as of old"
    assert asked.secrets(service(fake), APP, CONF, "nobody") == {}
    with pytest.raises(ConfigError, match="damaged"):
        asked.secrets(service(fake), APP, CONF, "bad")


def test_knows_a_cluster_member(fake: Splunkd) -> None:
    assert asked.server(service(fake)) == asked.Server("sh1", fake.guid, clustered=False)
    fake.roles = ("search_head", "shc_captain")
    assert asked.server(service(fake)).clustered


def test_refusals_say_what_to_do(fake: Splunkd) -> None:
    with pytest.raises(Denied) as caught:
        asked.server(service(fake, session="stale"))
    assert "start the input again" in caught.value.hint
    gone = service(fake)
    fake.port = 1
    assert gone is not None
    with pytest.raises(Unavailable, match="cannot be reached"):
        asked.server(service(fake))


# ------------------------------------------------------------------------------------------- indexes, macros, inputs


def test_an_index_is_looked_for_where_it_can_be_known() -> None:
    with splunkd(app=APP) as server:
        connected = service(server)
        assert asked.index_fault(connected, "security") is None
        assert asked.index_fault(connected, "default") is None
        fault = asked.index_fault(connected, "nosuch")
        assert fault is not None
        assert "there is no index 'nosuch'" in fault
        assert "cannot be the name" in (asked.index_fault(connected, "../x") or "")
        assert not asked.forwards(connected)
        server.outputs = ("indexer:9997",)
        assert asked.forwards(connected)
        assert asked.index_fault(connected, "nosuch") is None, "its indexers may have it"


def test_what_may_not_be_asked_is_no_fault() -> None:
    with splunkd(app=APP) as server:
        stranger = service(server, session="another")
        assert asked.index_fault(stranger, "nosuch") is None
        assert not asked.forwards(stranger)


def test_a_macro_is_written() -> None:
    with splunkd(app=APP) as server:
        server.confs["macros"] = {"ms_securescore_index": {"definition": "index=main"}}
        asked.set_definition(service(server), "ms_securescore_index", "(index=a OR index=b)")
        assert server.confs["macros"]["ms_securescore_index"]["definition"] == "(index=a OR index=b)"


def test_a_row_is_kept_by_input_and_those_that_are_gone_from_this_host_go() -> None:
    with splunkd("rows", app=APP) as server:
        server.inputs = {"one": True, "two": False}
        rows = collection(server, "rows")
        on = asked.running(service(server), "secure_score")
        assert on == {"one"}
        for name, host in (("two", "here"), ("three", "there"), ("one", "here"), ("one", "here")):
            asked.announce(rows, {"input": name, "host": host, "instance": f"{host}-{name}"}, on)
        assert set(server.collections["rows"]) == {"one", "three"}
