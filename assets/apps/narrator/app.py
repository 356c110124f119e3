"""The Narrator: your picture in, a true description out, with its doubts.

    python assets/apps/narrator/app.py      # then open http://127.0.0.1:7860; --help says more

Each notebook of the course gives it one function, complete in itself, and a test holds the two
texts together. So far 2.6 counts what the detector sees, 2.7 cuts out what you click on, 2.8
answers questions about it, which 2.4 takes by ear, 2.1 remembers what "it" is, 2.5 says it aloud,
2.3 names sounds, 2.2 finds a picture by meaning, 1 lets the model behind an API answer, 2 says
which of its models may be sold, and 2.9 ships a small form of it, which is in the folder space.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "notebooks"))

import numpy as np
from helpers import apps, checkpoint, media, setup
from helpers.checkpoints import current_tier
from PIL import Image

if TYPE_CHECKING:
    import gradio as gr

# From 1. Using Gemini API --------------------------------------------------------------------


def another_brain(client, picture, question: str, model: str = "gemini-flash-latest") -> str:
    """Answer a question about a picture with the model behind the API, and say which it was."""
    import io

    from google.genai import types

    stored = io.BytesIO()
    picture.save(stored, "PNG")
    part = types.Part.from_bytes(data=stored.getvalue(), mime_type="image/png")
    config = {"temperature": 0}
    answer = client.models.generate_content(model=model, contents=[part, question], config=config)
    return f"{answer.text or 'I have no answer'} ({answer.model_version})"


# From 2. Open Source Models ------------------------------------------------------------------


def for_sale(roles: list[str], tier: str = "micro") -> str:
    """Say whether the checkpoints that play these roles may be part of what one sells."""
    from helpers.checkpoints import row

    free = {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0"}
    licences = {role: row(role, tier)["licence"] for role in roles}
    held = [f"{role} ({licence})" for role, licence in licences.items() if licence not in free]
    if held:
        return f"May not be sold without asking: {', '.join(held)}."
    return f"May be sold, with their notices: {', '.join(roles)}."


# From 2.1. Intro to NLP ----------------------------------------------------------------------


def remembers(said: list[str], question: str, things: list[str]) -> str:
    """Put the thing that "it" stands for in its place: that whose vector is nearest to its own."""
    from helpers import checkpoint
    from torch import cosine_similarity
    from transformers import AutoModel, AutoTokenizer

    words = AutoTokenizer.from_pretrained(checkpoint("embedder"))
    tokens = words(" ".join([*said, question]), return_tensors="pt", truncation=True)
    places = [place for place, piece in enumerate(tokens.tokens()) if piece in things]
    if not places or not (" it " in question or " it?" in question):
        return question
    vectors = AutoModel.from_pretrained(checkpoint("embedder"))(**tokens).last_hidden_state[0]
    it = vectors[len(vectors) - 1 - tokens.tokens()[::-1].index("it")]
    thing = tokens.tokens()[places[int(cosine_similarity(vectors[places], it, dim=-1).argmax())]]
    return question.replace(" it ", f" the {thing} ").replace(" it?", f" the {thing}?")


# From 2.2. Embeddings ------------------------------------------------------------------------


def search(captions: list[str], query: str, at_least: float = 0.3) -> int | None:
    """Return the place of the caption nearest in meaning to query; None if none is near.

    Near is a cosine similarity of at_least (no unit, 0 to 1), by all-MiniLM-L6-v2.
    """
    from helpers import checkpoint
    from sentence_transformers import SentenceTransformer

    if not captions:
        return None
    model = SentenceTransformer(checkpoint("embedder"))
    similarities = model.similarity(model.encode(query), model.encode(captions))[0]
    best = int(similarities.argmax())
    return best if similarities[best] >= at_least else None


# From 2.3. Zero-Shot Audio Classification ----------------------------------------------------


def hears(waveform: np.ndarray, sampling_rate: int, kinds: list[str], sure: float = 0.5) -> str:
    """Say which of some kinds is heard, at most two; a little under a cosine of sure, perhaps."""
    import soxr
    from helpers import checkpoint
    from transformers import ClapModel, ClapProcessor

    model, prepare = (c.from_pretrained(checkpoint("listener")) for c in (ClapModel, ClapProcessor))
    ears = prepare.feature_extractor
    sound = soxr.resample(waveform, sampling_rate, ears.sampling_rate)[: ears.nb_max_samples]
    texts = [f"This is a sound of {kind}." for kind in kinds]
    form = {"sampling_rate": ears.sampling_rate, "padding": True, "return_tensors": "pt"}
    scores = model(**prepare(text=texts, audio=sound, **form)).logits_per_audio[0]
    near = sorted(zip((scores / model.logit_scale_a.exp()).tolist(), kinds, strict=True))[-2:]
    words = [("" if c >= sure else "perhaps ") + kind for c, kind in near[::-1] if c > sure - 0.05]
    return " and ".join(words) or "nothing I know"


# From 2.4. Automatic Speech Recognition ------------------------------------------------------


def asked(waveform: np.ndarray, sampling_rate: int) -> str:
    """Write down a spoken question, in English whatever language it is asked in."""
    import soxr
    from helpers import checkpoint
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    name = checkpoint("transcriber")
    model = WhisperForConditionalGeneration.from_pretrained(name)
    processor = WhisperProcessor.from_pretrained(name)
    heard = soxr.resample(waveform, sampling_rate, 16_000)
    inputs = processor(heard, sampling_rate=16_000, return_tensors="pt").input_features
    english = model.generation_config.lang_to_id["<|en|>"]
    task = "transcribe" if model.detect_language(inputs)[0] == english else "translate"
    written = model.generate(inputs, task=task)
    return processor.batch_decode(written, skip_special_tokens=True)[0].strip()


# From 2.5. Text to Speech --------------------------------------------------------------------


def speaks(text: str, voice: int = 0, seed: int = 0) -> tuple[np.ndarray, int]:
    """Say a text: its waveform, float32 of shape (samples,) in [-1, 1], and its rate in Hz."""
    import re

    import inflect
    from helpers import checkpoint
    from transformers import pipeline, set_seed

    in_words = inflect.engine().number_to_words
    text = re.sub(r"\d+", lambda figure: f" {in_words(figure[0], andword='')} ", text)
    speak = pipeline("text-to-audio", model=checkpoint("speaker"))
    set_seed(seed)
    said = speak(text, forward_params={"speaker_id": voice})
    return said["audio"].squeeze().clip(-1, 1), said["sampling_rate"]


# From 2.6. Object Detection ------------------------------------------------------------------


def count(detections: list[dict], sure: float = 0.8) -> str:
    """Say what was detected: 'two dogs and a bus'; what scores below sure, with a doubt."""
    from collections import Counter

    import inflect

    english, phrases = inflect.engine(), {False: [], True: []}
    certain = Counter(d["label"] for d in detections if d["score"] >= sure)
    for label, n in sorted(Counter(d["label"] for d in detections).items()):
        several = f"{english.number_to_words(n)} {english.plural(label)}"
        words, doubt = several if n > 1 else english.a(label), certain[label] < n
        some = f"{english.number_to_words(certain[label])}, " if certain[label] else ""
        phrases[doubt].append(f"{some}perhaps {words}" if doubt else words)
    return english.join(phrases[False] + phrases[True], final_sep="") or "nothing I know"


# From 2.7. Image Segmentation ----------------------------------------------------------------


def cut_out(picture: Image.Image, where: list[float]) -> Image.Image:
    """Cut out what is at a click [x, y] or in a box [left, top, right, bottom]: RGBA, cropped."""
    import torch
    from helpers import checkpoint
    from transformers import SamModel, SamProcessor

    name, kind = checkpoint("segmenter"), "input_points" if len(where) == 2 else "input_boxes"
    model, processor = SamModel.from_pretrained(name), SamProcessor.from_pretrained(name)
    inputs = processor(picture, return_tensors="pt", **{kind: [[where]]})
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    with torch.inference_mode():
        masks = model(**inputs, multimask_output=False).pred_masks
    cut, mask = picture.convert("RGBA"), processor.post_process_masks(masks, *sizes)[0][0, 0]
    cut.putalpha(Image.fromarray(mask.numpy()).convert("L"))
    return cut.crop(cut.getbbox())


# From 2.8. Multimodal Models -----------------------------------------------------------------


def answers(picture: Image.Image, question: str, sure: float = 0.8) -> str:
    """Answer a question about a picture; below a probability of sure, with a perhaps."""
    from helpers import checkpoint
    from transformers import BlipForQuestionAnswering, BlipProcessor

    name, keep = checkpoint("answerer"), {"output_scores": True, "return_dict_in_generate": True}
    processor, model = (c.from_pretrained(name) for c in (BlipProcessor, BlipForQuestionAnswering))
    inputs = processor(images=picture, text=question, return_tensors="pt")
    written = model.generate(**inputs, num_beams=1, max_new_tokens=10, **keep)
    steps = model.text_decoder.compute_transition_scores(
        written.sequences, written.scores, normalize_logits=True
    )
    answer = processor.decode(written.sequences[0], skip_special_tokens=True)
    return answer if steps.exp().prod() >= sure else f"perhaps {answer}"


# From 2.9. Deployment ------------------------------------------------------------------------


def ships(folder: str, name: str, settings: dict[str, str], seconds: float = 600) -> str:
    """Put an app online as a private Space and wait: return the stage in which it ends."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(name, repo_type="space", space_sdk="gradio", private=True, exist_ok=True)
    held = {key: kept.value for key, kept in api.get_space_variables(name).items()}
    for key, value in dict(settings.items() - held.items()).items():
        api.add_space_variable(name, key, value)
    left = {"ignore_patterns": ["__pycache__/*"], "repo_type": "space"}
    api.upload_folder(folder_path=folder, repo_id=name, **left)
    return str(api.wait_for_space(name, timeout=seconds, poll_interval=0.5).stage)


OWN, API = "its own answerer", "the model behind the API"
SPACE = Path(__file__).with_name("space")
ROLES = ("detector", "segmenter", "answerer", "embedder", "listener", "transcriber", "speaker")

# The app -------------------------------------------------------------------------------------


def build(detect: Callable[[Image.Image], list[dict]]) -> "gr.Blocks":
    """The page: what the Narrator says of a picture, what it cuts out, and what it finds."""
    import gradio as gr  # it reads HF_* variables, which setup() sets first

    clients: list = []  # one of Google's, made with the first question to the API

    def narrate(picture: Image.Image | None) -> tuple[tuple | None, str]:
        if picture is None:
            return None, "Choose a picture first."
        found = detect(picture)
        boxes = [(tuple(d["box"].values()), f"{d['label']} {d['score']:.2f}") for d in found]
        return (picture, boxes), f"I see {count(found)}."

    def voice(said: str) -> tuple[int, np.ndarray] | None:
        if not said.strip():
            return None
        waveform, rate = speaks(said)
        return rate, (waveform * 32_767).astype(np.int16)

    def clicked(event: gr.SelectData) -> list[int]:
        return event.index

    def cut(picture: Image.Image | None, x: float, y: float) -> Image.Image | None:
        return cut_out(picture, [x, y]) if picture is not None else None

    def reply(
        picture: Image.Image | None, question: str, spoken_of: list[str], brain: str
    ) -> tuple[str, list[str]]:
        if picture is None:
            return "Choose a picture first.", spoken_of
        if not question.strip():
            return "Write a question first.", spoken_of
        meant = remembers(spoken_of, question, things)
        answer = answers(picture, meant) if brain == OWN else other(picture, meant)
        asked_back = "" if meant == question else f"{meant[0].upper()}{meant[1:]} "
        return f"{asked_back}{answer}", [*spoken_of, meant, answer][-8:]

    def other(picture: Image.Image, question: str) -> str:
        if not clients:
            from google import genai
            from services.connect import connect

            ai = connect(requests=1)
            clients.append(genai.Client(api_key=ai.key, http_options={"base_url": ai.address}))
        return another_brain(clients[0], picture, question)

    def name(file: str | None, words: str) -> str:
        kinds = [word.strip() for word in words.split(",") if word.strip()]
        if not file or not kinds:
            return "Choose a sound, and write what it may be."
        return f"I hear {hears(*media.audio(file, 48_000), kinds)}."

    def hear(file: str | None) -> str:
        return asked(*media.audio(file)) if file else ""

    def find(query: str) -> tuple[Image.Image | None, str]:
        if not query.strip():
            return None, "Write what the picture should show."
        place = search(captions, query)
        if place is None:
            return None, "No picture shows that."
        return album[place]["image"], captions[place]

    sounds = sorted(set(media.examples("sounds")["label"]))
    album = media.examples("detection")
    captions = [", ".join(dict.fromkeys(objects["category"])) for objects in album["objects"]]
    things = sorted({name for objects in album["objects"] for name in objects["category"]})
    with gr.Blocks(title="The Narrator") as page:
        gr.Markdown("# The Narrator\nYour picture in, a true description out, with its doubts.")
        with gr.Tab("Describe"):
            with gr.Row():
                picture = gr.Image(type="pil", label="Picture", sources=["upload", "clipboard"])
                seen = gr.AnnotatedImage(label="What it saw")
            said = gr.Textbox(label="What it says", interactive=False)
            gr.Examples([[album[i]["image"]] for i in range(4)], picture)
            told = picture.change(narrate, picture, [seen, said], api_name="narrate")
            aloud = gr.Audio(label="Its voice", interactive=False)
            told.then(voice, said, aloud, api_name="say")
        with gr.Tab("Cut out"):
            with gr.Row():
                scene = gr.Image(
                    album[0]["image"], type="pil", label="Click on a thing", sources=["upload"]
                )
                cutting = gr.Image(type="pil", format="png", label="Cut out")
            x, y = gr.Number(0, label="x, pixels"), gr.Number(0, label="y, pixels")
            click = scene.select(clicked, None, [x, y], api_name=False)
            click.then(cut, [scene, x, y], cutting, api_name="cut_out")
        with gr.Tab("Ask"):
            shown = gr.Image(album[0]["image"], type="pil", label="Picture", sources=["upload"])
            question = gr.Textbox(label="What would you like to know?", max_length=200)
            spoken = gr.Audio(
                sources=["microphone", "upload"], type="filepath", label="Or ask it aloud"
            )
            spoken.change(hear, spoken, question, api_name="hear")
            brain = gr.Radio([OWN, API], value=OWN, label="Who answers?")
            answered, turns = gr.Textbox(label="It says", interactive=False), gr.State([])
            shown.change(lambda: [], None, turns, api_name=False)  # another picture, another talk
            asks = [shown, question, turns, brain]
            question.submit(reply, asks, [answered, turns], api_name="ask")
        with gr.Tab("Listen"):
            sound = gr.Audio(sources=["microphone", "upload"], type="filepath", label="Sound")
            words = gr.Textbox(", ".join(sounds), label="What it may be", max_length=1_000)
            named = gr.Textbox(label="It says", interactive=False)
            sound.change(name, [sound, words], named, api_name="listen")
        with gr.Tab("Find"):
            query = gr.Textbox(label="What should the picture show?", max_length=200)
            match, caption = gr.Image(label="Found"), gr.Textbox(label="It shows")
            query.submit(find, query, [match, caption], api_name="find")
        gr.Markdown(f"*The models behind this page. {for_sale(list(ROLES), current_tier().name)}*")
    return page


def main() -> None:
    """Serve the page on this machine only; or, with --ship NAME, its small form as a Space."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--ship", metavar="NAME", help="of the Space, of the Hub that connect() finds"
    )
    if name := parser.parse_args().ship:
        from services.connect_hub import connect

        hub = connect()
        settings = {"DETECTOR": hub.model("detector"), "REVISION": hub.revision("detector")}
        print(hub, ships(str(SPACE), f"{hub.user}/{name}", settings), sep="\n")
        if not hub.real:
            input(f"Open {hub.address}/run/{hub.user}/{name}/ . Enter ends this Hub, and it. ")
        return
    from transformers import pipeline

    device = setup(*ROLES)
    detect = pipeline("object-detection", model=checkpoint("detector"), device=device)
    apps.not_by_a_proxy()  # Gradio asks its own page whether it is there
    # show_error: the sentences of media are for the visitor.
    build(detect).launch(server_name=apps.HERE, max_file_size=media.MAX_BYTES, show_error=True)


if __name__ == "__main__":
    main()
