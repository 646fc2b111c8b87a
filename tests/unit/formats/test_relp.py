"""RELP frames: whole, in pieces, and with rubbish behind; no octets of a receiver make us wait or hold without end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.formats.relp import (
    MAX_ANSWER_BYTES,
    MAX_NUMBER,
    OFFERS,
    Answer,
    Frame,
    Reader,
    answer,
    encode,
    following,
    offered_commands,
)

# As rsyslog 8.2302 answers: to `open`, to `syslog`, and when it ends the session.
OPENED = b"1 rsp 93 200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog\n"
TAKEN = b"2 rsp 6 200 OK\n"
ENDED = b"0 serverclose 0\n"

FRAMES = st.builds(
    Frame,
    st.integers(0, MAX_NUMBER),
    st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=32),
    st.binary(max_size=200),
)


@pytest.mark.parametrize(
    ("frame", "octets"),
    [
        (Frame(1, "open", OFFERS), b"1 open %d %s\n" % (len(OFFERS), OFFERS)),
        (Frame(2, "syslog", b"<133>a b"), b"2 syslog 8 <133>a b\n"),
        (Frame(3, "close"), b"3 close 0\n"),
    ],
)
def test_what_goes_out(frame: Frame, octets: bytes) -> None:
    assert encode(frame.number, frame.command, frame.data) == octets
    assert Reader().feed(octets) == [frame]


def test_what_a_receiver_says() -> None:
    opened, taken, ended = Reader().feed(OPENED + TAKEN + ENDED)
    assert answer(opened).status == 200
    assert offered_commands(answer(opened).rest) == {"syslog"}
    assert answer(taken) == Answer(200, "OK")
    assert (ended.number, ended.command) == (0, "serverclose")


@given(st.lists(FRAMES, max_size=6), st.data())
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames: list[Frame], data: st.DataObject) -> None:
    octets = b"".join(encode(f.number, f.command, f.data) for f in frames)
    reader, found = Reader(), []
    while octets:
        size = data.draw(st.integers(1, len(octets)))
        found += reader.feed(octets[:size])
        octets = octets[size:]
    assert found == frames


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"1234567890 rsp 0\n",
        b"1 rsp 1234567890 x",
        b"1 rsp %d " % (MAX_ANSWER_BYTES + 1),
        b"1 rsp 2 OKAY\n",
        b"1 rsp 2OK\n",
        b"1 rsp 0 x\n",
        b"-1 rsp 0\n",
        b"1  rsp 0\n",
        b"\n",
        b"1 r\x00p 0\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_can_never_be_a_frame_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame"):
        Reader().feed(octets)


@given(st.binary(max_size=400))
def test_whatever_comes_is_frames_or_refused(octets: bytes) -> None:
    try:
        for frame in Reader().feed(octets):
            assert frame.number <= MAX_NUMBER
    except ValueError:
        pass


@pytest.mark.parametrize("data", [b"", b"OK", b"20 OK", b"2000 OK", b"abc", b"200\tOK"])
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(ValueError, match="no answer"):
        answer(Frame(1, "rsp", data))


def test_numbers_go_round_and_never_are_zero() -> None:
    assert following(1) == 2
    assert following(MAX_NUMBER) == 1
    assert following(0) == 1
