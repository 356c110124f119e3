"""Several answers at once from one causal language model, each with settings of its own.

A request joins the batch between two tokens and leaves it when it is done (continuous batching: Yu
et al., 2022, https://www.usenix.org/conference/osdi22/presentation/yu), so that nobody waits for
another's long answer, and eight answers take little longer than one.
"""

import json
import logging
import queue
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from transformers import (
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

log = logging.getLogger(__name__)
CAPACITY = 16  # answers at once
WAITING = 64  # more are refused
GATHERING = 0.005  # seconds in which prompts that come together are read together


class Full(Exception):
    """More requests wait than may."""


class Closed(Exception):
    """The engine has been closed: its model was deleted, or the server ends."""


class TooLong(ValueError):
    """A prompt that leaves no room in the model's window."""


@dataclass(frozen=True)
class Settings:
    """How an answer's tokens are chosen, and where it ends.

    temperature: 0 takes the most probable token each time. schema: a JSON schema that the answer
    must fulfil. limit: of tokens; None: as many as the window holds. seed: with the same one, the
    same prompt has the same answer.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    limit: int | None = None
    stops: tuple[str, ...] = ()
    schema: dict | bool | None = None

    @property
    def draw(self) -> tuple[float, int, float]:
        """What two answers must share to be drawn in one go."""
        return self.temperature, self.top_k, self.top_p


@dataclass
class Answer:
    """An answer that is being written; `heard(answer)` is called for each piece, and at the end.

    finish: None until it ends; then "STOP", "MAX_TOKENS" or "OTHER" (given up, or an error).
    """

    prompt: list[int]
    settings: Settings
    heard: Callable[["Answer"], None]
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish: str | None = None
    given_up: bool = False
    in_pieces: bool = False  # else its text is made at the end alone
    chooser: "Chooser | None" = None


class Engine:
    """Writes answers with one model, in a thread of its own."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase):
        self.model, self.tokenizer = model.eval(), tokenizer
        self.window: int = model.config.max_position_embeddings
        ends = model.generation_config.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends])
        self.constraints = from_tokenizer(tokenizer, n_vocab=model.config.vocab_size)
        self._waiting: queue.Queue[Answer | None] = queue.Queue(WAITING)
        self._answers: list[Answer] = []  # the rows of the batch
        self._cache: DynamicCache | None = None
        self._mask = torch.zeros(0, 0, dtype=torch.long)  # (answers, tokens)
        self._closed, self._door = False, threading.Lock()  # nobody comes in while it closes
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def matcher(self, schema: dict | bool) -> LLMatcher:
        """What lets nothing pass but JSON by a schema. It takes its time.

        Raises ValueError: the schema is none.
        """
        matcher = LLMatcher(self.constraints, grammar_of(schema))
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def write(
        self,
        prompt: list[int],
        settings: Settings,
        heard: Callable[[Answer], None],
        in_pieces: bool = True,
        matcher: LLMatcher | None = None,
    ) -> Answer:
        """Begin an answer to a prompt's tokens; matcher: of its settings' schema.

        Raises:
            TooLong: the prompt fills the window.
            Full: too many wait already.
            Closed: it answers no more.
        """
        room = self.window - len(prompt)
        if room < 1:
            raise TooLong(
                f"The input has {len(prompt):,} tokens, and the model reads {self.window - 1:,}."
            )
        answer = Answer(prompt, settings, heard, in_pieces=in_pieces)
        answer.chooser = Chooser(self, settings, min(room, settings.limit or room), matcher)
        with self._door:
            if self._closed:
                raise Closed("The model has been deleted.")
            try:
                self._waiting.put_nowait(answer)
            except queue.Full:
                raise Full("Too many requests wait already; try again in a moment.") from None
        return answer

    def close(self) -> None:
        """End the thread; answers under way are given up."""
        with self._door:
            self._closed = True
            with suppress(queue.Full):  # then it does not sleep
                self._waiting.put_nowait(None)
        self._thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        while True:
            new = self._arrived()
            if self._closed:
                while not self._waiting.empty():
                    new.append(self._waiting.get())
                self._give_up([*self._answers, *(answer for answer in new if answer)])
                return
            try:
                if new:
                    self._join(new)
                else:
                    self._step()
            except Exception:  # whatever it is, nobody may wait for ever
                log.exception("A batch has failed")
                self._give_up(list({id(one): one for one in (*self._answers, *new)}.values()))

    def _give_up(self, answers: list[Answer]) -> None:
        for answer in answers:
            answer.finish = answer.finish or "OTHER"
            answer.heard(answer)
        self._answers, self._cache = [], None

    def _arrived(self) -> list[Answer | None]:
        """Those that may join now; waits where there is nothing else to do. With a None: close."""
        new: list[Answer | None] = []
        while len(self._answers) + len(new) < CAPACITY:
            try:
                answer = self._waiting.get(block=not self._answers and not new)
            except queue.Empty:
                break
            new.append(answer)
            if answer is None:
                break
            if len(new) == 1:
                time.sleep(GATHERING)
        return new

    def _join(self, new: list[Answer]) -> None:
        """Read the prompts of new answers, choose their first tokens, and put them in the batch."""
        longest = max(len(answer.prompt) for answer in new)
        ids = torch.zeros(len(new), longest, dtype=torch.long)
        mask = torch.zeros(len(new), longest, dtype=torch.long)
        for row, answer in enumerate(new):
            ids[row, longest - len(answer.prompt) :] = torch.tensor(answer.prompt)
            mask[row, longest - len(answer.prompt) :] = 1
        cache = DynamicCache(config=self.model.config)
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            logits_to_keep=1,
        )
        if self._answers:
            width = max(longest, self._mask.shape[1])
            for old, other in zip(self._cache.layers, cache.layers, strict=True):
                old.keys = torch.cat([_left(old.keys, width), _left(other.keys, width)])
                old.values = torch.cat([_left(old.values, width), _left(other.values, width)])
            ahead = [
                torch.nn.functional.pad(m, (width - m.shape[1], 0)) for m in (self._mask, mask)
            ]
            self._mask = torch.cat(ahead)
        else:
            self._cache, self._mask = cache, mask
        self._answers += new
        self._choose(new, out.logits[:, -1])

    def _step(self) -> None:
        """One more token for every answer of the batch."""
        ids = torch.tensor([[answer.tokens[-1]] for answer in self._answers])
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
        out = self.model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=self._mask.sum(1, keepdim=True) - 1,
            past_key_values=self._cache,
        )
        self._choose(self._answers, out.logits[:, -1])

    def _choose(self, answers: list[Answer], logits: torch.Tensor) -> None:
        """Choose a token for each answer by its logits (answers, vocabulary)."""
        alike: dict[tuple, list[int]] = defaultdict(list)  # rows that are chosen in one go
        for row, answer in enumerate(answers):
            if answer.given_up:
                answer.finish = "OTHER"
            else:
                alike[answer.settings.draw].append(row)
        for rows in alike.values():
            these = [answers[row] for row in rows]
            try:
                for answer, token in zip(these, _drawn(these, logits[rows].float()), strict=True):
                    answer.chooser.append(answer, token)
            except Exception:  # others, with other settings, go on
                log.exception("Answers have failed")
                for answer in these:
                    answer.finish = answer.finish or "OTHER"
        for answer in list(answers):
            answer.heard(answer)
        left = [i for i, answer in enumerate(self._answers) if answer.finish is None]
        if len(left) < len(self._answers):
            self._answers = [self._answers[i] for i in left]
            self._leave(left)

    def _leave(self, left: list[int]) -> None:
        """Keep these rows, and no more on their left than the longest needs."""
        if not left:
            self._cache = None
            return
        rows = torch.tensor(left)
        self._mask = self._mask[rows]
        begin = int(self._mask.sum(0).ne(0).int().argmax())
        self._mask = self._mask[:, begin:]
        for layer in self._cache.layers:
            layer.keys, layer.values = (
                states[rows, :, begin:] for states in (layer.keys, layer.values)
            )


def _left(states: torch.Tensor, width: int) -> torch.Tensor:
    """Keys or values (answers, heads, tokens, numbers) with zeros before them, up to a width."""
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))


def _drawn(answers: list[Answer], logits: torch.Tensor) -> list[int]:
    """A token for each of some answers that draw alike, by their logits (answers, vocabulary)."""
    for row, answer in enumerate(answers):
        answer.chooser.allow(logits[row])
    temperature, top_k, top_p = answers[0].settings.draw
    if temperature == 0:
        return logits.argmax(1).tolist()
    # None of the warpers looks at the tokens so far.
    scores = TemperatureLogitsWarper(float(temperature))(None, logits)
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    return [
        int(torch.multinomial(row, 1, generator=answer.chooser.random))
        for answer, row in zip(answers, scores.softmax(1), strict=True)
    ]


class Chooser:
    """Says which tokens an answer may go on with, and where it ends; draws with its own seed."""

    def __init__(
        self, engine: Engine, settings: Settings, limit: int, matcher: LLMatcher | None = None
    ):
        self.tokenizer, self.ends, self.limit = engine.tokenizer, engine.ends, limit
        self.stops = settings.stops
        self.random = torch.Generator()
        self.random.manual_seed(secrets.randbits(62) if settings.seed is None else settings.seed)
        self.matcher = matcher.deep_copy() if matcher else None

    def allow(self, logits: torch.Tensor) -> None:
        """Leave a chance, of the logits (vocabulary,), to what the schema allows."""
        if self.matcher:
            # By hand: importing llguidance.torch brings torch's compiler, two seconds of it.
            bits = np.frombuffer(self.matcher.compute_bitmask(), np.uint8)
            allowed = np.unpackbits(bits, bitorder="little")[: len(logits)]
            logits.masked_fill_(torch.from_numpy(allowed) == 0, float("-inf"))

    def append(self, answer: Answer, token: int) -> None:
        """Add a token; set the text and, at its end, finish, each once and in this order."""
        ended = token in self.ends
        if not ended:
            answer.tokens.append(token)
        full = len(answer.tokens) >= self.limit
        text, finish = answer.text, "STOP" if ended else None
        if ended or full or answer.in_pieces or self.stops or self.matcher:
            text = self.tokenizer.decode(answer.tokens, skip_special_tokens=True)
        if self.matcher and not ended:
            self.matcher.consume_token(token)
            finish = "STOP" if self.matcher.is_stopped() else None
        before = before_stops(text, self.stops)
        if before is not None:
            text, finish = before, "STOP"
        answer.text = text  # another thread reads it
        answer.finish = finish or ("MAX_TOKENS" if full else None)


def before_stops(text: str, stops: tuple[str, ...]) -> str | None:
    """What stands in a text before the first of some stops; None where there is none."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(found)] if found else None


def grammar_of(schema: dict | bool) -> str:
    """The grammar of an answer that is JSON by a schema, written as Python's json.dumps writes it.

    A space may stand before it: with many tokenizers a text begins with one.
    """
    spaces = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}
    if schema is False:
        raise ValueError("No JSON fulfils it.")
    schema = ({} if schema is True else schema) | {"x-guidance": spaces}
    return LLMatcher.grammar_from_lark(
        f'start: SPACE? json\nSPACE: " "\njson: %json {json.dumps(schema)}'
    )
