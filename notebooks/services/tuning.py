"""Tuned models: the assistant learns from examples, in the background, with LoRA.

The routes are those of Google's tunedModels (https://ai.google.dev/api/tuning), which Google itself
has not offered since May 2025. LoRA: Hu et al., 2021, https://arxiv.org/abs/2106.09685, by peft.
"""

import copy
import logging
import queue
import re
import secrets
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import torch
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from services import temporary
from services.engine import Engine
from services.errors import Refused
from services.shapes import CreateTunedModel, TuningExample, timestamp

if TYPE_CHECKING:
    from services.gemini import Service

MOST_MODELS = 5
LEARNING_RATE = 3e-3
RANK = 8
SEED = 0  # the same examples give the same model
log = logging.getLogger(__name__)
TYPES = "type.googleapis.com/google.ai.generativelanguage.v1beta."
NAME = r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"


class _Stopped(Exception):
    """The model was deleted while it learnt."""


@dataclass
class Tuned:
    """A model that learns, or has learnt. state: CREATING, ACTIVE or FAILED."""

    name: str
    asked: CreateTunedModel
    created: str
    state: str = "CREATING"
    total: int = 0  # steps
    snapshots: list[dict] = field(default_factory=list)
    started: str | None = None
    completed: str | None = None
    engine: Engine | None = None
    deleted: bool = False

    @property
    def operation(self) -> str:
        """The name of the operation that makes it."""
        return f"{self.name}/operations/{self.name.partition('/')[2]}"

    def body(self) -> dict:
        """As Google writes a TunedModel."""
        settings = self.asked.tuning_task.hyperparameters
        task = {
            "hyperparameters": settings.model_dump(by_alias=True, exclude_none=True),
            "snapshots": list(self.snapshots),
            "startTime": self.started,
            "completeTime": self.completed,
        }
        return {
            "name": self.name,
            "displayName": self.asked.display_name,
            "baseModel": self.asked.base_model,
            "state": self.state,
            "createTime": self.created,
            "updateTime": self.completed or self.started or self.created,
            "tuningTask": {key: value for key, value in task.items() if value is not None},
        }

    def operation_body(self) -> dict:
        """As Google writes the operation."""
        done = self.state != "CREATING"
        steps = len(self.snapshots)
        body = {
            "name": self.operation,
            "done": done,
            "metadata": {
                "@type": f"{TYPES}CreateTunedModelMetadata",
                "tunedModel": self.name,
                "totalSteps": self.total,
                "completedSteps": steps,
                "completedPercent": 100.0 * steps / self.total if self.total else 0.0,
                "snapshots": list(self.snapshots),
            },
        }
        if self.state == "ACTIVE":
            body["response"] = {"@type": f"{TYPES}TunedModel"} | self.body()
        if self.state == "FAILED":
            body["error"] = {"code": 13, "message": "The training has failed."}
        return body


class TunedModels:
    """Those of one run of the server; one learns at a time."""

    def __init__(self, model: PreTrainedModel, words: PreTrainedTokenizerBase):
        self.model, self.words = model, words
        self._tuned: dict[str, Tuned] = {}
        self._waiting: queue.Queue[Tuned | None] = queue.Queue()
        self._lock = threading.Lock()  # of what is in _tuned
        self._thread = threading.Thread(target=self._run, name="tuning", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop what learns, and close what answers."""
        for tuned in self._tuned.values():
            tuned.deleted = True
        self._waiting.put(None)
        self._thread.join()
        for tuned in self._tuned.values():
            if tuned.engine:
                tuned.engine.close()

    def create(self, asked: CreateTunedModel, id: str | None) -> Tuned:
        """Begin to tune a model."""
        if id is not None and not re.fullmatch(NAME, id):
            said = "An id has up to 40 of a-z, 0-9 and -, and begins with a letter."
            raise Refused(400, said, "tunedModelId")
        short = re.sub(r"[^a-z0-9]+", "-", asked.display_name.lower()).strip("-")[:20]
        short = short if re.match("[a-z]", short) else "tuned"
        name = f"tunedModels/{id or f'{short}-{secrets.token_hex(4)}'}"
        settings = asked.tuning_task.hyperparameters
        given = asked.tuning_task.training_data.examples.examples
        window, examples = self.model.config.max_position_embeddings, len(given)
        for number, example in enumerate(given):
            f"{example.text_input}{example.output}".encode()  # half of a character is an error here
            if (tokens := len(row(self.words, example)["input_ids"])) > window:
                said = f"The example has {tokens:,} tokens, and the model reads {window:,}."
                raise Refused(400, said, f"tuningTask.trainingData.examples[{number}]")
        tuned = Tuned(name, asked, _now())
        tuned.total = settings.epoch_count * -(-examples // settings.batch_size)
        with self._lock:
            if name in self._tuned:
                raise Refused(409, f"There is a {name} already.", "tunedModelId")
            if len(self._tuned) >= MOST_MODELS:
                raise Refused(429, f"There are {MOST_MODELS} models: delete one.", seconds=60)
            self._tuned[name] = tuned
        self._waiting.put(tuned)
        return tuned

    def all(self) -> list[Tuned]:
        """Every one, in the order in which they were created."""
        return list(self._tuned.values())

    def get(self, name: str) -> Tuned:
        """One by its name, "tunedModels/…"."""
        if name not in self._tuned:
            raise Refused(404, f"There is no {name}.", "name")
        return self._tuned[name]

    def engine(self, name: str) -> Engine:
        """What answers as a tuned model."""
        tuned = self.get(name)
        if tuned.engine is None:
            said = "It still learns." if tuned.state == "CREATING" else "Its training has failed."
            raise Refused(400, f"{name} cannot answer: {said}", "model")
        return tuned.engine

    def delete(self, name: str) -> None:
        """Forget one; if it still learns, it stops."""
        tuned = self.get(name)
        tuned.deleted = True
        self._tuned.pop(name, None)
        if tuned.engine:
            tuned.engine.close()

    def _run(self) -> None:
        while (tuned := self._waiting.get()) is not None:
            if tuned.deleted:
                continue
            tuned.started = _now()
            try:
                task = tuned.asked.tuning_task
                model = tune(
                    self.model,
                    self.words,
                    task.training_data.examples.examples,
                    epochs=task.hyperparameters.epoch_count,
                    batch=task.hyperparameters.batch_size,
                    learning_rate=task.hyperparameters.learning_rate
                    or LEARNING_RATE * (task.hyperparameters.learning_rate_multiplier or 1),
                    took_a_step=lambda loss, epoch, tuned=tuned: _snapshot(tuned, loss, epoch),
                )
                tuned.engine, tuned.state = Engine(model, self.words), "ACTIVE"
                if tuned.deleted:
                    tuned.engine.close()
            except _Stopped:
                continue
            except Exception:  # whatever it is, the client learns that it has failed
                log.exception("%s has failed", tuned.name)
                tuned.state = "FAILED"
            tuned.completed = _now()


def _snapshot(tuned: Tuned, loss: float, epoch: float) -> None:
    if tuned.deleted:
        raise _Stopped
    tuned.snapshots.append(
        {
            "step": len(tuned.snapshots) + 1,
            "epoch": int(epoch),
            "meanLoss": loss,
            "computeTime": _now(),
        }
    )


def _now() -> str:
    return timestamp(datetime.now(UTC))


def row(words: PreTrainedTokenizerBase, example: TuningExample) -> dict[str, list[int]]:
    """An example's tokens; its labels are the answer's alone, -100 elsewhere."""
    asked = [{"role": "user", "content": example.text_input}]
    answered = [*asked, {"role": "assistant", "content": example.output}]
    prompt = words.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
    ids = words.apply_chat_template(answered, return_dict=False)
    return {"input_ids": ids, "labels": [-100] * len(prompt) + ids[len(prompt) :]}


def tune(
    model: PreTrainedModel,
    words: PreTrainedTokenizerBase,
    examples: list[TuningExample],
    epochs: int,
    batch: int,
    learning_rate: float,
    took_a_step: Callable[[float, float], None] = lambda loss, epoch: None,
) -> PreTrainedModel:
    """A copy of a model that has learnt from examples: LoRA on all its linear layers, merged.

    took_a_step(loss, epoch): called after each; what it raises ends the training.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import (
        DataCollatorForSeq2Seq,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    class Told(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            if "loss" in logs:
                took_a_step(logs["loss"], state.epoch)

    rows = [row(words, example) for example in examples]
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", lora_dropout=0)
    set_seed(SEED)
    learner = get_peft_model(copy.deepcopy(model), lora)
    # By its name the next server knows that it may go, if this one is killed.
    name = temporary.prefix("gemini")
    with tempfile.TemporaryDirectory(prefix=name, ignore_cleanup_errors=True) as folder:
        arguments = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=batch,
            learning_rate=learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=2,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=False,
            seed=SEED,
        )
        trainer = Trainer(
            learner,
            arguments,
            train_dataset=rows,
            data_collator=DataCollatorForSeq2Seq(words),
            callbacks=[Told()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return learner.merge_and_unload().to(model.device).eval()  # Trainer may have used a GPU


def routes(app: FastAPI, prefix: str) -> None:
    """Add the routes of tuned models."""

    def models(request: Request) -> TunedModels:
        service: Service = request.app.state.service
        return service.tuned

    @app.post(f"{prefix}/tunedModels")
    async def create(
        request: Request,
        asks: CreateTunedModel,
        id: Annotated[str | None, Query(alias="tunedModelId")] = None,
        id_in_snake: Annotated[str | None, Query(alias="tuned_model_id")] = None,
    ) -> Response:
        if asks.base_model.startswith("tunedModels/"):
            raise Refused(400, "A tuned model is not tuned again: take models/….", "baseModel")
        request.app.state.service.engine_of(asks.base_model)
        made = await run_in_threadpool(models(request).create, asks, id or id_in_snake)
        return JSONResponse(made.operation_body())

    @app.get(f"{prefix}/tunedModels")
    async def list_all(request: Request) -> Response:
        return JSONResponse({"tunedModels": [one.body() for one in models(request).all()]})

    @app.get(f"{prefix}/tunedModels/{{id}}")
    async def get(request: Request, id: str) -> Response:
        return JSONResponse(models(request).get(f"tunedModels/{id}").body())

    @app.get(f"{prefix}/tunedModels/{{id}}/operations/{{operation}}")
    async def get_operation(request: Request, id: str, operation: str) -> Response:
        tuned = models(request).get(f"tunedModels/{id}")
        if tuned.operation != f"tunedModels/{id}/operations/{operation}":
            raise Refused(404, "There is no such operation.", "name")
        return JSONResponse(tuned.operation_body())

    @app.get(f"{prefix}/tunedModels/{{id}}/operations")
    async def list_operations(request: Request, id: str) -> Response:
        tuned = models(request).get(f"tunedModels/{id}")
        return JSONResponse({"operations": [tuned.operation_body()]})

    @app.delete(f"{prefix}/tunedModels/{{id}}")
    async def delete(request: Request, id: str) -> Response:
        await run_in_threadpool(models(request).delete, f"tunedModels/{id}")
        return JSONResponse({})
