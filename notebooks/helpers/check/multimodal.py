"""The self-checks of 2.8. Multimodal Models."""

import functools
import math
import re

from helpers import media
from helpers.check.detection import in_toytown
from helpers.check.verdict import Verdict, checklist, self_check
from helpers.checkpoints import checkpoint


@functools.cache
def _answerer() -> tuple:
    from transformers import BlipForQuestionAnswering, BlipProcessor

    name = checkpoint("answerer")
    return BlipProcessor.from_pretrained(name), BlipForQuestionAnswering.from_pretrained(name)


@functools.cache
def _said() -> list[tuple[float, bool]]:
    """For each question about the scenes from the fortieth on: how sure, and whether right."""
    processor, model = _answerer()
    said = []
    rows = media.examples("captions")
    for row in rows.select(range(40, len(rows))):  # the notebook chooses on the first forty
        inputs = processor(
            images=[row["image"]] * len(row["questions"]),
            text=[asked["question"] for asked in row["questions"]],
            padding=True,
            return_tensors="pt",
        )
        keep = {"output_scores": True, "return_dict_in_generate": True}
        written = model.generate(**inputs, num_beams=1, max_new_tokens=10, **keep)
        steps = model.text_decoder.compute_transition_scores(
            written.sequences, written.scores, normalize_logits=True
        )
        # What follows an answer's end is padding, and no part of it.
        steps[written.sequences[:, 1:] == processor.tokenizer.pad_token_id] = 0
        answers = processor.batch_decode(written.sequences, skip_special_tokens=True)
        rights = [a == q["answer"] for a, q in zip(answers, row["questions"], strict=True)]
        said += zip(steps.sum(1).exp().tolist(), rights, strict=True)
    return said


@self_check("Add up the costs at every threshold on the first forty scenes; take the cheapest.")
def when_to_be_silent(answer: object) -> Verdict:
    """A threshold under which the answerer is silent, charged on scenes not used to choose it."""
    threshold = round(float(answer), 3)
    if not 0 <= threshold <= 1:
        return Verdict(False, "a probability", threshold, "A probability lies between 0 and 1.")

    def silences_and_mistakes(least: float) -> tuple[int, int]:
        silent = sum(sure < least for sure, _ in _said())
        return silent, sum(sure >= least and not right for sure, right in _said())

    def cost(least: float) -> int:
        silent, wrong = silences_and_mistakes(least)
        return silent + 10 * wrong

    most = round(1.25 * min(cost(step / 50) for step in range(51)))
    silent, wrong = silences_and_mistakes(threshold)
    hint = f"It is silent {silent} times: lower the threshold."
    if 10 * wrong > silent:
        hint = f"{wrong} wrong answers pass, at 10 each: raise the threshold."
    yours = f"{cost(threshold)}: {silent} silences, {wrong} mistakes"
    return Verdict(cost(threshold) <= most, f"a cost of at most {most}", yours, hint)


@self_check("answer = (a picture, a true sentence, the same with one word exchanged).")
def own_negative(answer: object) -> Verdict:
    """A picture of the reader's, a sentence about it, and a hard negative."""
    import torch
    from transformers import BlipForImageTextRetrieval, BlipProcessor

    source, true, false = answer
    picture = media.image(source)
    words = [re.findall(r"\w+", text.lower()) for text in (true, false)]
    apart = sum(a != b for a, b in zip(*words, strict=False))
    done = {
        "it is no scene of Toytown": not in_toytown(source),
        "a sentence of three words or more": len(words[0]) >= 3,
        "both differ in just one word": len(words[0]) == len(words[1]) and apart == 1,
    }
    verdict = checklist(done)
    name = checkpoint("matcher")
    processor = BlipProcessor.from_pretrained(name)
    matcher = BlipForImageTextRetrieval.from_pretrained(name)
    inputs = processor(images=[picture] * 2, text=[true, false], padding=True, return_tensors="pt")
    with torch.inference_mode():
        fits = matcher(**inputs).itm_score.softmax(1)[:, 1].tolist()
    unknown = processor.tokenizer.unk_token_id
    for kind, text, share, ids in zip(
        ("true", "false"), (true, false), fits, inputs["input_ids"].tolist(), strict=True
    ):
        print(f"{kind:5} fits {share:.2f}: {text} ({ids.count(unknown)} words unknown to it)")
    return verdict


@self_check("answer is your function itself: from a picture and a question to a colour or None.")
def doubt_the_question(answer: object) -> Verdict:
    """A function that names the colour of what is there, and None for what is not."""
    rows = media.examples("captions")
    there = [
        (row["image"], f"what color is the {thing}?", asked["answer"])
        for row in rows
        for asked in row["questions"]
        for thing in dict.fromkeys(row["objects"]["category"])
        if asked["kind"] == "which colour" and asked["question"].endswith(f" is the {thing}?")
    ][:12]
    absent = [
        (row["image"], f"what color is the {thing}?")
        for row, thing in zip(rows.select(range(12)), ["car", "umbrella", "book"] * 4, strict=True)
        if thing not in row["objects"]["category"]
    ]
    named = sum(answer(picture, question) == colour for picture, question, colour in there)
    silent = sum(answer(picture, question) is None for picture, question in absent)
    right = named >= 0.75 * len(there) and silent >= 0.75 * len(absent)
    hint = "It is silent about things that are there: for them return what the model says."
    if silent < 0.75 * len(absent):
        hint = "It names a colour of what is not there: first ask whether there is one."
    least = [math.ceil(0.75 * len(asked)) for asked in (there, absent)]
    expected = f"at least {least[0]} colours and {least[1]} times None"
    return Verdict(right, expected, f"{named} colours, {silent} times None", hint)
