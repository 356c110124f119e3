"""What the local server sees, hears and embeds with: the course's own checkpoints of this tier."""

import threading
from functools import cached_property

import numpy as np
import torch
from helpers import checkpoint
from PIL import Image

from services.errors import Refused

SAMPLING_RATE = 16_000  # Hz


class Senses:
    """Models that see, hear and embed; each is loaded when it is first asked, and asked alone."""

    def __init__(self) -> None:
        self._alone = threading.RLock()  # two at once on two cores are slower than one by one

    @cached_property
    def _captioner(self):
        from transformers import BlipForConditionalGeneration, BlipProcessor

        name = checkpoint("captioner")
        return BlipProcessor.from_pretrained(name), BlipForConditionalGeneration.from_pretrained(
            name
        )

    @cached_property
    def _answerer(self):
        from transformers import BlipForQuestionAnswering, BlipProcessor

        name = checkpoint("answerer")
        return BlipProcessor.from_pretrained(name), BlipForQuestionAnswering.from_pretrained(name)

    @cached_property
    def _detector(self):
        from transformers import pipeline

        return pipeline("object-detection", model=checkpoint("detector"))

    @cached_property
    def _transcriber(self):
        from transformers import pipeline

        return pipeline("automatic-speech-recognition", model=checkpoint("transcriber"))

    @cached_property
    def _embedder(self):
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(checkpoint("embedder"))

    @torch.inference_mode()
    def caption(self, picture: Image.Image) -> str:
        """What is in a picture, in a sentence's part."""
        with self._alone:
            processor, model = self._captioner
            written = model.generate(**processor(images=picture, return_tensors="pt"))
        return processor.decode(written[0], skip_special_tokens=True).strip()

    @torch.inference_mode()
    def answer(self, picture: Image.Image, question: str) -> str:
        """The answer to a question about a picture, in a word or two."""
        with self._alone:
            processor, model = self._answerer
            inputs = processor(images=picture, text=question, return_tensors="pt")
            tokens = inputs["input_ids"].shape[1]
            most = model.config.text_config.max_position_embeddings
            if tokens > most:
                said = f"The question has {tokens} tokens, and what sees reads {most}: shorten it."
                raise Refused(400, said, "contents")
            written = model.generate(**inputs)
        return processor.decode(written[0], skip_special_tokens=True).strip()

    def boxes(self, picture: Image.Image, sure: float = 0.8) -> list[dict]:
        """Things in a picture: label, and box_2d [ymin, xmin, ymax, xmax] of 1,000, as Gemini's."""
        with self._alone:
            found = self._detector(picture, threshold=sure)
        wide, high = 1000 / picture.width, 1000 / picture.height
        return [
            {
                "box_2d": [
                    round(min(max(one["box"][side] * size, 0), 1000))
                    for side, size in (
                        ("ymin", high),
                        ("xmin", wide),
                        ("ymax", high),
                        ("xmax", wide),
                    )
                ],
                "label": one["label"],
            }
            for one in found
        ]

    def heard(self, waveform: np.ndarray, task: str = "transcribe") -> list[tuple]:
        """What is said, or with task "translate" its English: texts, each from and to a second."""
        with self._alone:
            said = self._transcriber(
                {"raw": waveform, "sampling_rate": SAMPLING_RATE},
                return_timestamps=True,
                generate_kwargs={"task": task},
            )
        seconds = len(waveform) / SAMPLING_RATE
        return [
            (chunk["text"].strip(), begin, seconds if end is None else end)
            for chunk in said["chunks"]
            for begin, end in [chunk["timestamp"]]
        ]

    def embedded(self, texts: list[str]) -> np.ndarray:
        """The texts' embeddings, of length 1: (texts, numbers)."""
        with self._alone:
            return self._embedder.encode(texts, normalize_embeddings=True)

    @cached_property
    def embedding_size(self) -> int:
        """How many numbers an embedding has."""
        with self._alone:
            return self._embedder.get_embedding_dimension()

    @cached_property
    def picture_tokens(self) -> int:
        """The patches that the captioner makes of a picture, and the one for the whole."""
        with self._alone:
            seen = self._captioner[1].config.vision_config
        return (seen.image_size // seen.patch_size) ** 2 + 1

    @staticmethod
    def sound_tokens(waveform: np.ndarray) -> int:
        """The steps that Whisper's encoder makes of a sound: 50 a second."""
        return -(-len(waveform) * 50 // SAMPLING_RATE)
