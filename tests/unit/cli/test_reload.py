"""What a daemon makes of a configuration that it stumbles over at a reload: it is refused, and the old one runs on."""

from attrs import define

from connector.cli.run import Daemon
from connector.config.values import Config
from connector.errors import ConfigError
from connector.health.systemd import Notifier

OLD = Config((), ())


@define
class Loads:
    """Reads a configuration, or raises."""

    what: Config | Exception

    def __call__(self) -> Config:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


async def test_whatever_reading_it_raises_is_a_refusal() -> None:
    load = Loads(ConfigError(["sinks: names no sink"]))
    daemon = Daemon(OLD, load, Notifier())
    assert await daemon._read() is None
    assert daemon._refused == "sinks: names no sink"
    load.what = RuntimeError("secret words")
    assert await daemon._read() is None
    assert daemon._refused == "RuntimeError while it was taken up; the log has the traceback"
    assert daemon._reloads == {"refused": 2}
    load.what = OLD
    assert await daemon._read() is OLD
