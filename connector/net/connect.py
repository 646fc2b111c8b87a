"""From network settings to a client, which is loaded only when somebody asks for one; and the proxy on a way.

Commands that connect to nothing load no client: that is why this does not stand in client.py.
"""

from connector.clock import SystemClock
from connector.config.values import NetworkConfig
from connector.net.http import USER_AGENT, Wire
from connector.ports import Clock


def open_client(
    network: NetworkConfig, clock: Clock | None = None, *, user_agent: str = USER_AGENT, max_connections: int = 100
) -> Wire:
    """A client of its own, as the network settings say; `network.proxy` holds no references any more.

    `clock` dates the answers (Response.at): the system's, unless a simulation brings another.
    """
    from connector.net.client import Http  # noqa: PLC0415 - commands that connect to nothing load no client

    return Http(
        clock=clock or SystemClock(),
        proxy=network.proxy,
        no_proxy=network.no_proxy,
        ca_file=network.ca_file,
        timeout_s=network.timeout_s,
        user_agent=user_agent,
        max_connections=max_connections,
    )


def proxy_to(url: str, network: NetworkConfig) -> str | None:
    """The proxy on the way to this address, its credentials in it; None for none. Raises ConfigError."""
    from connector.net.client import proxy_for  # noqa: PLC0415 - as above

    return proxy_for(url, network.proxy, network.no_proxy)
