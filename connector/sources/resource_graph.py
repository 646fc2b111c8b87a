"""Azure Resource Graph: one question, all pages of its answer, and whether they are the whole of it.

What a row means is read elsewhere (cloud_rows.py). Nothing is remembered here between reads.

The traps this file exists for, all public: `resultTruncated` is a text and says "false" on pages that have a successor;
what a principal may not see is left out with status 200; beyond 10,000 subscriptions only a header tells that there are
more; and rows come twice or not at all while somebody changes what is being paged through.
"""

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from connector.errors import Denied, PartialRead, SecureScoreError, Unavailable, kept
from connector.model import EvidenceFile
from connector.net.http import Response
from connector.sources.pages import SKIP_TOKEN, Link, load, next_link, page_hash
from connector.sources.requests import Requests, fault_of

PATH = "/providers/Microsoft.ResourceGraph/resources?api-version=2024-04-01"
ROWS_A_PAGE = 1_000  # the most that may be asked for
MAX_PAGES = 300
MAX_BYTES_IN_ALL = 384 * 1024 * 1024
MAX_TOKEN_CHARS = 16_384
MAX_HOLD_S = 300.0

ROLE_HINT = (
    "Assign the role Reader or Security Reader to this principal at the root management group (or at the scope of the "
    "entry); a consent in Entra does not help here."
)
SCOPE_HINT = "Resource Graph did not understand the request: check `scope` and the cloud of `arm`."


@frozen
class Question:
    """What is asked: a name for its pages, and the query. Rows are in the order of their id: or pages would overlap."""

    name: str
    query: str


@frozen
class Page:
    """One complete page: its name in `Known.pages`, its number, body, and continuation."""

    name: str
    number: int
    body: bytes = field(repr=False)
    link: Link | None = field(repr=False)

    @property
    def sha256(self) -> str:
        return page_hash(self.body, self.link)


@frozen
class Answer:
    """The pages of an answer; `error` says why there are no more although there should be.

    `limited`: there are more subscriptions than are answered for.
    """

    question: Question
    pages: tuple[Page, ...] = ()
    error: SecureScoreError | None = None
    limited: bool = False

    @property
    def hashes(self) -> Mapping[str, str]:
        return {page.name: page.sha256 for page in self.pages}

    @property
    def evidence(self) -> tuple[EvidenceFile, ...]:
        """The bodies, where they are the whole answer."""
        if self.error is not None:
            return ()
        return tuple(EvidenceFile(answer_file(self.question.name, page.number), page.body) for page in self.pages)


def answer_file(question: str, number: int) -> str:
    """What a page of the answer to a question is saved as, and found by again."""
    return f"resourceGraph-{question}-{number}.json"


def body_of(question: Question, scope: Mapping[str, Any], token: str | None) -> dict[str, Any]:
    """What is sent: the same for every page but for the token. A part of the scope is never answered for the whole."""
    options = {"$top": ROWS_A_PAGE, "resultFormat": "objectArray", "allowPartialScopes": False}
    return {"query": question.query, **scope, "options": options if token is None else {**options, "$skipToken": token}}


async def ask(requests: Requests, url: str, question: Question, scope: Mapping[str, Any]) -> Answer:
    """All pages of the answer to a question, or as many as could be had. Never raises what befalls a page."""
    pages: list[Page] = []
    limits: set[bool] = set()
    try:
        await _follow(requests, url, question, scope, pages, limits)
    except (PartialRead, Unavailable, Denied) as error:
        if not error.what.startswith(question.name):  # no connection: it does not know what was asked for
            error.what = f"{question.name} page {len(pages) + 1}: {error.what}"
        return Answer(question, tuple(pages), kept(error), True in limits)
    return Answer(question, tuple(pages), None, True in limits)


async def _follow(
    requests: Requests,
    url: str,
    question: Question,
    scope: Mapping[str, Any],
    pages: list[Page],
    limits: set[bool],
) -> None:
    """Append each page as it comes, and whether it says that not all subscriptions are answered for.

    Raises PartialRead, Unavailable, Denied.
    """
    size, token = 0, None
    followed: set[str] = set()
    while True:
        number = len(pages) + 1
        where = f"{question.name} page {number}"
        response = await requests.post(url, body_of(question, scope, token), where)
        requests.progressed()
        limits.add(response.headers.get("x-ms-tenant-subscription-limit-hit", "").strip().casefold() == "true")
        link = next_link(response.body, SKIP_TOKEN)
        pages.append(Page(f"{question.name}/{number}", number, response.body, link))
        size += len(response.body)
        if size > MAX_BYTES_IN_ALL:
            raise PartialRead(f"{question.name}: more than {MAX_BYTES_IN_ALL} bytes in all", "too_large")
        if link is None or not link.url:
            return
        token = link.url
        if len(token) > MAX_TOKEN_CHARS:
            raise PartialRead(f"{where}: its $skipToken is no usable token", "paging")
        if token in followed:
            raise PartialRead(f"{question.name}: page {number} leads back to an earlier page", "paging")
        followed.add(token)
        if number >= MAX_PAGES:
            raise PartialRead(f"{question.name}: no end after {number} pages", "paging")


def rows_of(page: Page) -> tuple[list[Any], int]:
    """(the rows of a page, how many rows the whole answer has). Raises PartialRead."""
    data = load(page.body, page.name)
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise PartialRead(f"{page.name}: no list `data` in the answer", "not_json")
    total, count = data.get("totalRecords"), data.get("count")
    if isinstance(total, bool) or not isinstance(total, int) or total < 0 or count != len(rows):
        raise PartialRead(f"{page.name}: `count` and `totalRecords` do not say how many rows there are", "not_json")
    found = data.get("$skipToken")
    if (found or None) != (page.link.url or None if page.link else None):
        raise PartialRead(f"{page.name}: its $skipToken stands where none was looked for", "paging")
    return rows, total


def fault(response: Response, what: str, max_bytes: int) -> SecureScoreError | None:
    """What is wrong with an answer of Resource Graph's; None if nothing is."""
    hint = SCOPE_HINT if response.status in (400, 404) else ""
    return fault_of(response, what, max_bytes, ROLE_HINT, hint)


_SPAN = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.[0-9]{1,7})?")


def quota_left(response: Response) -> float | None:
    """For how many seconds the principal's quota is used up, as the answer says; None while something is left."""
    if response.headers.get("x-ms-user-quota-remaining", "").strip() not in ("0", "-1"):
        return None
    found = _SPAN.fullmatch(response.headers.get("x-ms-user-quota-resets-after", "").strip())
    if found is None:
        return None
    hours, minutes, seconds = map(int, found.groups())
    return min(hours * 3600.0 + minutes * 60.0 + max(seconds, 1), MAX_HOLD_S)
