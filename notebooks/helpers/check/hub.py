"""The self-checks of 2. Open Source Models."""

import pickle

from helpers import media
from helpers.check.verdict import Verdict, checklist, self_check

FREE = {"apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc0-1.0"}


@self_check(
    "Search with show('…', pipeline_tag='text-to-speech'); answer is a name, 'owner/model'."
)
def voice_for_a_shop(answer: object) -> Verdict:
    """A real voice that may be sold, from what the Hub in use says of it."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    expected = "a voice for sale, open to all"
    if str(answer).startswith("toytown/"):
        hint = "It has only ever read Toytown's sentences: customers write others."
        return Verdict(False, expected, answer, hint)
    try:
        found = HfApi().model_info(str(answer))
    except (HfHubHTTPError, HFValidationError):
        hint = "This Hub has no such model: copy a name that the search prints."
        return Verdict(False, expected, answer, hint)
    licence = " ".join(tag[8:] for tag in found.tags if tag.startswith("license:"))
    if found.pipeline_tag != "text-to-speech":
        hint = "Filter by the task, text-to-speech."
        return Verdict(False, expected, f"a model for {found.pipeline_tag}", hint)
    asked = "what does nc stand for?" if "nc" in licence.split("-") else "what says may_i_sell?"
    hint = "It is gated." if found.gated else f"Its licence is {licence or 'not named'}: {asked}"
    fits = licence in FREE and not found.gated
    return Verdict(fits, expected, f"{answer}, {licence or 'no licence'}", hint)


@self_check("answer = (sort_post, [('message', 'topic'), …]), with five messages of your own.")
def own_post(answer: object) -> Verdict:
    """Five own messages, most sorted as their writer would, one not."""
    sort, rows = answer
    known = {row["text"].lower() for row in media.examples("messages")}
    topics = {str(topic).lower() for topic in sort.model.config.id2label.values()}
    given = [sort(text)[0]["label"].lower() for text, _ in rows]
    agreed = sum(topic.lower() == label for (_, topic), label in zip(rows, given, strict=True))
    done = {
        "five messages of four words or more": len(rows) >= 5
        and all(len(text.split()) >= 4 for text, _ in rows),
        "all of them yours, not the dataset's": not known & {text.lower() for text, _ in rows},
        "each topic is one of the sorter's": {topic.lower() for _, topic in rows} <= topics,
        "three topics or more": len({topic for _, topic in rows}) >= 3,
        "at least half are sorted as you would": agreed * 2 >= len(rows),
        "at least one is sorted otherwise": agreed < len(rows),
    }
    return checklist(done)


class _Alarm:
    """Rings when it is loaded."""

    rung = 0

    def __reduce__(self):
        return _ring, ()


def _ring() -> None:
    _Alarm.rung += 1


@self_check("answer is your function itself, from the bytes of a pickle to a set of names.")
def pickle_scanner(answer: object) -> Verdict:
    """All names that a pickle imports, in each of its protocols, with nothing run."""
    ring = f"{_ring.__module__}.{_ring.__qualname__}"
    for protocol in (0, 2, 4, 5):
        for value, names in (
            ({"weights": [1.0, 2.0]}, set()),
            ([_Alarm(), _Alarm()], {ring}),
            ({"note": _Alarm(), "make": print, "again": len}, {ring, "print", "len"}),
        ):
            before = _Alarm.rung
            found = answer(pickle.dumps(value, protocol))
            expected = f"{len(names)} names in protocol {protocol}"
            if _Alarm.rung > before:
                hint = "It has run what it should only name: never call pickle.loads."
                return Verdict(False, "nothing run", "a function was called", hint)
            short = {name.replace("__builtin__.", "").replace("builtins.", "") for name in found}
            if short != names:
                hint = "From protocol 4 on, STACK_GLOBAL takes its names from what came before."
                hint = hint if short < names else "Only what it imports, as module.name."
                return Verdict(False, expected, sorted(found), hint)
    return Verdict(True, "the names, in every protocol, and nothing run", "the same")
