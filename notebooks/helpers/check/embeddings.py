"""The self-checks of 2.2. Embeddings."""

import re

from helpers import media
from helpers.check.verdict import Verdict, checklist, self_check
from helpers.checkpoints import checkpoint


def _similarities(texts: list[str]):
    """The embedder's cosine similarity of every text with every other, shape (texts, texts)."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(checkpoint("embedder"))
    vectors = model.encode(texts)
    return model.similarity(vectors, vectors)


@self_check("Keep a message's words and turn its meaning round; answer = (first, second, approve).")
def refund_bot(answer: object) -> Verdict:
    """Two messages of opposite meaning that score above 0.8, and a rule that tells them apart."""
    first, second, approve = answer
    score = float(_similarities([first, second])[0, 1])
    if score <= 0.8:
        return Verdict(False, "a similarity above 0.80", f"{score:.2f}")
    if not approve(first) or approve(second):
        hint = "Your rule must pay your own first message and not your second."
        return Verdict(False, "True, False", (approve(first), approve(second)), hint)
    rows = media.examples("refunds")
    wrong = [row["message"] for row in rows if not row["pay"] and approve(row["message"])]
    missed = [row["message"] for row in rows if row["pay"] and not approve(row["message"])]
    yours = f"{len(wrong)} wrong payments, {4 - len(missed)} of 4"
    right = not wrong and len(missed) <= 1
    hint = None
    if wrong:
        asks = "which words should stop it?"
        if not re.search("refund|money", wrong[0].lower()):  # a question about tickets
            asks = "is your comparison sentence about refunds, or about tickets?"
        hint = f"Your rule pays on {wrong[0]!r}: {asks}"
    elif missed:
        hint = f"No wrong payment; now let the clear requests through, such as {missed[0]!r}."
    return Verdict(right, "0 wrong payments, at least 3 of 4 requests paid", yours, hint)


@self_check("answer is a list of six sentences, the two nearest in meaning first.")
def own_words(answer: object) -> Verdict:
    """Six sentences; the first two share no long word, and the model finds them the nearest."""
    near = _similarities(list(answer)).fill_diagonal_(-1)
    pair = sorted(divmod(int(near.argmax()), len(answer)))
    long_words = [set(re.findall(r"\w{4,}", sentence.lower())) for sentence in answer[:2]]
    several = all(len(sentence.split()) > 1 for sentence in answer)
    done = {
        "six different sentences of several words": len(set(answer)) == 6 and several,
        "no word of four letters shared by the first two": not set.intersection(*long_words),
        f"the first two are the nearest, not {pair[0] + 1} and {pair[1] + 1}": pair == [0, 1],
    }
    return checklist(done)


@self_check("answer is your function itself, find: from a question to a notice's id or None.")
def nothing_found(answer: object) -> Verdict:
    """A search that answers what the notices answer and turns down what they do not."""
    rows = [row for row in media.examples("exam") if row["split"] == "test"]
    given = [(row, answer(row["question"])) for row in rows]
    taken = [(row["question"], got) for row, got in given if row["notice"] is None and got]
    found = sum(got == row["notice"] for row, got in given if row["notice"])
    hint = "Too many questions that have an answer get None or another: lower your threshold."
    if len(taken) > 2:
        question, got = taken[0]
        hint = f"{question!r} gets {got!r}: answer None below a threshold, or raise it."
    yours = f"{found} found, {12 - len(taken)} None"
    right = found >= 6 and len(taken) <= 2
    return Verdict(right, "at least 6 of 12 found and 10 of 12 None", yours, hint)
