"""A token file that something else keeps fresh."""

from pathlib import Path

import pytest

from connector.errors import ConfigError, Denied
from connector.signin.tokens import MAX_TOKEN_BYTES, FileToken


async def test_token_is_stripped_and_read_again_for_every_use(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text("  one.two-three_\n")
    provider = FileToken(path)
    assert await provider.token() == "one.two-three_"
    path.write_text("renewed")
    assert await provider.token(refused="one.two-three_") == "renewed"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"secret\nX-Other: header", "one bare token"),
        (b"Bearer secret", "one bare token"),
        ("secretß".encode(), "one bare token"),
        (b"secret" * MAX_TOKEN_BYTES, "larger than"),
    ],
)
async def test_anything_but_one_token_is_refused_without_repeating_it(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(Denied, match=words) as caught:
        await FileToken(path).token()
    assert "secret" not in caught.value.what + caught.value.hint
    assert caught.value.hint


async def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Denied, match=r"absent cannot be read: No such file or directory"):
        await FileToken(tmp_path / "absent").token()


async def test_token_that_everybody_reads_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="every user of this machine"):
        await FileToken(path).token()
