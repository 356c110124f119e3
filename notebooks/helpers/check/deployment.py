"""The self-checks of 2.9. Deployment."""

from pathlib import Path

from helpers import media
from helpers.check.verdict import Verdict, checklist, self_check

FIRST, FURTHER, COMING = 0.050, 0.020, 30  # seconds, seconds, visitors a second


def _answers_a_second(batch: int) -> float:
    """How many visitors a batch of this size serves in a second."""
    return batch / (FIRST + FURTHER * (batch - 1))


@self_check("A batch of n takes 50 + 20 (n - 1) ms and serves n: how many is that in a second?")
def smallest_batch(answer: object) -> Verdict:
    """The smallest batch that serves more than come."""
    expected = "the smallest batch that serves 30 a second"
    if answer != int(answer) or answer < 1:
        return Verdict(False, expected, answer, "A batch is a whole number of pictures, 1 or more.")
    served = _answers_a_second(int(answer))
    yours = f"{answer}, which serves {served:.1f} a second"
    if served < COMING:
        return Verdict(
            False, expected, yours, f"{COMING - served:.1f} more come than go, each second."
        )
    smaller = answer > 1 and _answers_a_second(int(answer) - 1) >= COMING
    hint = "That keeps up. A smaller one does too: which is the smallest?"
    return Verdict(not smaller, expected, yours, hint)


@self_check("answer = (your picture, what the Narrator said, 'what you would tell a visitor').")
def own_visitor(answer: object) -> Verdict:
    """A picture of the reader's own, the app's sentence on it, and the owner's own words."""
    picture, said, sentence = answer
    scene = "toytown" in str(picture).lower() or not isinstance(picture, str | Path)
    seen = media.image(picture)
    done = {
        "a picture of yours, by path or address, not a scene of Toytown": not scene,
        "it can be read and has 32 pixels or more a side": min(seen.size) >= 32,
        "what the Narrator said of it begins with 'I see'": said.startswith("I see"),
        "your own sentence has six words or more": len(sentence.split()) >= 6,
        "it is not the Narrator's": sentence.strip() != said.strip(),
    }
    return checklist(done)


@self_check("answer is your function guarded itself: from a function to a function.")
def fails_well(answer: object) -> Verdict:
    """Refuses what is bad before it calls, passes on what is good, and hides why it failed."""
    import gradio as gr
    from PIL import Image

    called = []

    def describe(picture):
        called.append(picture)
        if picture.width == 13:
            raise RuntimeError("the password of the database is 1234")
        return "I see a bus."

    door, expected = answer(describe), "gr.Error with a sentence, before your function is called"
    bad = {
        "None": None,
        "a text": "I am no picture.",
        "10 megapixels": Image.new("RGB", (5_000, 2_000)),
    }
    for name, value in bad.items():
        try:
            door(value)
        except gr.Error as error:
            if len(str(error.message).split()) < 3:
                return Verdict(False, expected, f"for {name}: {error.message}", "Say what to do.")
        except Exception as error:
            hint = f"For {name} the visitor would see a traceback."
            return Verdict(False, expected, f"{type(error).__name__} for {name}", hint)
        else:
            return Verdict(False, expected, f"an answer to {name}", f"Refuse {name}.")
        if called:
            return Verdict(False, expected, f"a call with {name}", "Look before you call.")
    if (said := door(Image.new("RGB", (64, 64)))) != "I see a bus.":
        return Verdict(False, "the function's own answer", said, "Pass on what is good.")
    try:
        door(Image.new("RGB", (13, 13)))
    except gr.Error as error:
        hint = "Your sentence tells the visitor what only your log should know."
        told = "1234" in str(error.message)
        return Verdict(not told, "a sentence that hides the reason", error.message, hint)
    except Exception as error:
        hint = "When the function fails, a sentence of yours must take the place of its error."
        return Verdict(False, "gr.Error", type(error).__name__, hint)
    return Verdict(False, "gr.Error", "no error", "When the function fails, say so.")
