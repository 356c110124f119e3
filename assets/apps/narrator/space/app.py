"""The Narrator, small enough for a Space: a picture in, what is in it out, with its doubts."""

import os
import time
from collections import Counter
from collections.abc import Iterator

import gradio as gr
from PIL import Image
from transformers import pipeline

# Set as variables of the Space, so that another model needs no new code.
DETECTOR = os.environ.get("DETECTOR", "facebook/detr-resnet-50")
REVISION = os.environ.get("REVISION", "no_timm")
SURE = 0.8  # what scores below it is said with a doubt
MOST_PIXELS = 4_000_000

detect = pipeline("object-detection", model=DETECTOR, revision=REVISION)


def checked(picture: Image.Image | None) -> Image.Image:
    """Refuse, in a sentence for the visitor, what would only cost time or memory."""
    if picture is None:
        raise gr.Error("Choose a picture first.", print_exception=False)
    if picture.width * picture.height > MOST_PIXELS:
        raise gr.Error("At most 4 megapixels, please: make it smaller.", print_exception=False)
    return picture.convert("RGB")


def phrases(found: list[dict]) -> list[str]:
    """What was found, the most certain first: "2 x dog", "perhaps a bus"."""
    certain = Counter(one["label"] for one in found if one["score"] >= SURE)
    doubtful = {one["label"] for one in found} - set(certain)
    return [f"{n} × {label}" for label, n in certain.most_common()] + [
        f"perhaps a {label}" for label in sorted(doubtful)
    ]


def describe(picture: Image.Image | None) -> str:
    """Say what is in a picture, in one sentence."""
    return f"I see {', '.join(phrases(detect(checked(picture)))) or 'nothing I know'}."


def tell(picture: Image.Image | None) -> Iterator[str]:
    """The same, thing by thing: a visitor reads while the rest is still being said."""
    said = "I see"
    for phrase in phrases(detect(checked(picture))):
        said = f"{said} {phrase},"
        yield said
        time.sleep(0.2)  # a detector has all at once; a language model has not
    yield f"{said.rstrip(',')}."


with gr.Blocks(title="The Narrator") as demo:
    gr.Markdown("# The Narrator\nYour picture in, what is in it out, with its doubts.")
    with gr.Row():
        shown = gr.Image(type="pil", label="Picture", sources=["upload", "clipboard"])
        said = gr.Textbox(label="What it says", interactive=False)
    with gr.Row():
        gr.Button("Describe", variant="primary").click(describe, shown, said, api_name="describe")
        gr.Button("Tell").click(tell, shown, said, api_name="tell")

demo.queue(max_size=20)  # the twenty-first visitor in the queue is told to come back

if __name__ == "__main__":
    demo.launch(max_file_size="5mb")
