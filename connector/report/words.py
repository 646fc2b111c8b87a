"""What stable words mean, in English, for forms that programs read. The texts themselves are in connector/language."""

from collections.abc import Mapping

from connector.language.choice import language


def _group(name: str) -> Mapping[str, str]:
    texts = language().texts
    return {key.partition(".")[2]: str(text) for key, text in texts.items() if key.startswith(f"{name}.")}


METHOD = _group("method")
ISSUES = _group("issue")
FLAGS = _group("flag")
CAUSES = _group("cause")
CLASSES = _group("class")
ANSWERS = _group("answer")
STANDINGS = _group("standing")
STATES = _group("state")
SERVICES = _group("service")
