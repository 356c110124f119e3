"""What every recipe does the same way: options, resuming, writing a checkpoint and its manifest.

Under `accelerate launch --num_processes 2 assets/recipes/<role>.py` a recipe trains the same: each
process takes its part of every batch, gradients are averaged, and only the first one writes.
(Without a GPU accelerate starts two only with --multi_gpu: the recipe chooses the CPU itself.)
"""

import argparse
import functools
import hashlib
import inspect
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import jiwer
import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "assets" / "checkpoints"
MANIFEST = CHECKPOINTS / "manifest.json"
NOT_LOADED = ("README.md", "training.json")
TWO = "two CPU cores"  # on which minutes are compared
THREADS = torch.get_num_threads()  # rebuild.py gives each role one
CORES = {1: "one CPU core", 2: TWO}.get(THREADS, f"{THREADS} CPU cores")
# A processor without AVX-512 BF16 emulates bfloat16, at a thirtieth of float32's pace.
FAST_BFLOAT16 = torch.cpu._is_avx512_bf16_supported()
PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))  # as `accelerate launch` sets it
WRITES = os.environ.get("RANK", "0") == "0"  # whether this process does


def options(role: str, description: str) -> argparse.Namespace:
    """The command line that all recipes share."""
    parser = argparse.ArgumentParser(description=description.strip().split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--build", type=Path, help=f"working files; training/{role} if not given")
    parser.add_argument("--output", type=Path, help=f"assets/checkpoints/{role} if not given")
    parser.add_argument("--smoke", action="store_true", help="a few steps: the loss must fall")
    parser.add_argument("--measure", action="store_true", help="only measure what --output holds")
    args = parser.parse_args()
    # A few steps must not take the place of the checkpoint, nor their small corpus of the real one.
    folder = ROOT / "training" / ("smoke" if args.smoke else "") / role
    args.build = args.build or folder
    args.output = args.output or (folder / "checkpoint" if args.smoke else CHECKPOINTS / role)
    return args


def trainer_arguments(folder: Path, steps: int, seed: int, **more) -> TrainingArguments:
    """AdamW, a short warm-up, a cosine to zero; a checkpoint and a measurement now and then."""
    defaults = {
        "max_steps": steps,
        "learning_rate": 1e-3,
        "warmup_steps": min(100, steps // 5),
        "lr_scheduler_type": "cosine",
        "weight_decay": 1e-4,
        "max_grad_norm": 1.0,
        "logging_steps": max(1, min(50, steps // 10)),
        "save_steps": max(1, steps // 20),
        "save_total_limit": 2,
        "eval_strategy": "steps",
        "eval_steps": max(1, steps // 10),
        "dataloader_num_workers": 1,  # draws the next pictures while this step computes
        "dataloader_prefetch_factor": 4,
        "remove_unused_columns": False,
        "use_cpu": True,  # most are written for one, and never ran on anything else
        "report_to": "none",
        "seed": seed,
    }
    given = defaults | more
    size = given.get("per_device_train_batch_size", 1)
    if size > 1:  # a dataset of whole batches is shared out by `Parts`
        if size % PROCESSES:
            raise ValueError(
                f"{PROCESSES} processes cannot share batches of {size}: take a number that divides."
            )
        given["per_device_train_batch_size"] = size // PROCESSES
    fast = FAST_BFLOAT16 or not given["use_cpu"]
    given["bf16"] = given.get("bf16", False) and fast
    return TrainingArguments(output_dir=str(folder), **given)


# Several processes -----------------------------------------------------------------------------


def first_alone() -> AbstractContextManager:
    """What the first process makes in this context, a corpus, the others find made."""
    return PartialState(cpu=True).main_process_first()


def rows_of(batch: dict[str, torch.Tensor], part: int) -> dict[str, torch.Tensor]:
    """One process's rows of a batch."""
    return {name: rows[part::PROCESSES] for name, rows in batch.items()}


class Parts(Dataset):
    """A dataset whose items are whole batches, each cut in a part for every process.

    Parts of one batch are neighbours, and accelerate deals neighbours out: in order, a step of all
    processes is a step of one.
    """

    def __init__(self, whole: Dataset, share: Callable = rows_of):
        """share(batch, part): what process number `part` takes of a batch."""
        self.whole, self.share = whole, share

    def __len__(self) -> int:
        return len(self.whole) * PROCESSES

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        index, part = divmod(index, PROCESSES)
        batch = self.whole[index]
        return self.share(batch, part) if PROCESSES > 1 else batch


def rows_of_all(rows: torch.Tensor) -> torch.Tensor:
    """The rows of all processes, the first one's first: what contrasts needs the whole batch."""
    if PROCESSES == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(PROCESSES)]
    torch.distributed.all_gather(parts, rows.detach().contiguous())
    # Each process computes the one loss of all rows, but learns from its own alone, and the mean of
    # the processes' gradients is taken after: their sum is meant.
    parts[int(os.environ["RANK"])] = rows.detach() + PROCESSES * (rows - rows.detach())
    return torch.cat(parts)


def pairs_of_all(pairs: torch.Tensor | list, judged: Callable[[list], list]) -> torch.Tensor:
    """Who is true of whom in the whole batch, with `judged`, from what a collation hands on."""
    if torch.is_tensor(pairs):
        return pairs
    parts: list[list] = [[]] * PROCESSES
    torch.distributed.all_gather_object(parts, pairs)
    return torch.tensor(judged([one for part in parts for one in part]))


def pairs_of(told: list, judged: Callable[[list], list]) -> torch.Tensor | list:
    """Who is true of whom in a batch; of a part of one only what that can be told from."""
    return torch.tensor(judged(told)) if PROCESSES == 1 else told


# Training --------------------------------------------------------------------------------------


class Watched(TrainerCallback):
    """Tells rebuild.py how far a training is; when asked to stop, keeps what has been learnt."""

    def __init__(self):
        self.told, self.stopped = 0.0, False

    def on_train_begin(self, args, state, control, **_) -> None:
        """Processes draw the same batches; what else is random is each one's own."""
        if PROCESSES > 1:
            torch.manual_seed(args.seed + int(os.environ["RANK"]))
        else:  # one of several cannot stop alone: accelerate ends them all
            signal.signal(signal.SIGTERM, self._stop)

    def on_train_end(self, args, state, control, **_) -> None:
        """What comes after, measuring, is stopped as any program is."""
        if PROCESSES == 1:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _stop(self, *_) -> None:
        if self.stopped:
            raise SystemExit(1)
        self.stopped = True

    def on_step_end(self, args, state, control, **_) -> None:
        """Tell at most twice a second."""
        if self.stopped:
            control.should_save = control.should_training_stop = True
        if time.monotonic() - self.told > 0.5:
            self.told = time.monotonic()
            tell(args, state.global_step, state.log_history)


STEPS_TOLD: dict[str, int] = {}  # of each stage, by the folder of its states


def tell(args: TrainingArguments, step: int, log: list[dict]) -> None:
    """Write where a training is to the file that COURSE_PROGRESS names, if it does."""
    if WRITES and (path := os.environ.get("COURSE_PROGRESS")):
        STEPS_TOLD[args.output_dir] = step
        loss = [row["loss"] for row in log if "loss" in row][-1:]
        told = {"stages": STEPS_TOLD, "folder": args.output_dir, "of": args.max_steps}
        write_text(Path(path), json.dumps(told | {"loss": loss}))


class TimedTrainer(Trainer):
    """The Trainer, with the seconds of training, over all resumed runs, in each line of its log."""

    clock: float | None = None
    # Whether weights have the same names on disk. Some models have heads for training whose sizes
    # are not in the config, from which the class would be made anew: they need it.
    own_names = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Our losses are means. Of one that takes any argument the Trainer thinks that it is a part
        # of the whole batch's, and multiplies it by the processes.
        self.model_accepts_loss_kwargs = False
        self.watched = Watched()
        self.add_callback(self.watched)

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        """Log as the Trainer does, with the time."""
        now, before = time.monotonic(), self.state.log_history
        spent = now - (self.clock or now)
        self.clock = now
        logs["seconds"] = round((before[-1]["seconds"] if before else 0) + spent, 1)
        super().log(logs, *args, **kwargs)

    def train(self, *args, **kwargs):
        """Train as the Trainer does, and start the clock."""
        self.clock = time.monotonic()
        return super().train(*args, **kwargs)

    def _load_from_checkpoint(self, checkpoint: str, model: PreTrainedModel | None = None) -> None:
        # transformers 5.23 saves some models (DETR) under their names on the Hub and reads them
        # back under their names in Python: on resuming, most weights would silently stay random.
        model = model or self.model
        if self.own_names:
            state = load_file(Path(checkpoint) / "model.safetensors")
            missing, unexpected = model.load_state_dict(state, strict=False)
            # A tied weight is there once.
            now = model.state_dict()
            known = {now[name].data_ptr() for name in state if name in now}
            absent = [name for name in missing if now[name].data_ptr() not in known]
            if absent or unexpected:
                raise ValueError(
                    f"{checkpoint} is of another model ({[*absent, *unexpected][0]} differs): "
                    "move it away, and the training starts anew."
                )
        else:
            model.load_state_dict(type(model).from_pretrained(checkpoint).state_dict())


def orthogonalized(
    matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> torch.Tensor:
    """torch.optim.Muon's Newton-Schulz iteration, in float32, which it does in bfloat16."""
    a, b, c = coefficients
    found = matrix.T if matrix.size(0) > matrix.size(1) else matrix
    found = found / found.norm().clamp(min=eps)
    for _ in range(steps):
        gram = found @ found.T
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found.T if matrix.size(0) > matrix.size(1) else found


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon for the matrices inside transformer layers, AdamW for all else, as one optimizer.

    Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon; scaled to AdamW's step as
    in https://arxiv.org/abs/2502.16982) makes every direction of a matrix learn at one pace.
    """

    def __init__(
        self, model: torch.nn.Module, lr: float, weight_decay: float, paces: dict | None = None
    ):
        """paces: by how much more than lr the weights under a name learn, {"mask_decoder": 3}."""
        if not FAST_BFLOAT16:
            torch.optim._muon._zeropower_via_newtonschulz = orthogonalized
        matrices, others = {}, {}
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                kind = matrices if weight.ndim == 2 and ".layer" in name else others
                pace = (paces or {}).get(name.partition(".")[0], 1)
                kind.setdefault(lr * pace, []).append(weight)
        groups = [
            [{"params": weights, "lr": rate} for rate, weights in kind.items()]
            for kind in (matrices, others)
        ]
        super().__init__([group for kind in groups for group in kind], {"lr": lr})
        shared = {"lr": lr, "weight_decay": weight_decay}
        self.parts = [
            torch.optim.Muon(groups[0], **shared, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(groups[1], **shared),
        ]
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One step of both."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict:
        """The states of both."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take up the states of both."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


class MuonTrainer(TimedTrainer):
    """The Trainer, with MuonAndAdamW, whose `paces` are the trainer's."""

    paces: dict[str, float] | None = None

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """The optimizer, once."""
        if self.optimizer is None:
            args = self.args
            self.optimizer = MuonAndAdamW(
                self.model, args.learning_rate, args.weight_decay, self.paces
            )
        return self.optimizer


def in_evaluation(measure: Callable) -> Callable:
    """Decorate a measurement: its first argument, a model, is in evaluation mode meanwhile."""

    @functools.wraps(measure)
    def measured(model: torch.nn.Module, *args, **kwargs):
        training = model.training
        model.eval()
        try:
            return measure(model, *args, **kwargs)
        finally:
            model.train(training)

    return measured


def word_error_rate(references: list[str], texts: list[str]) -> float:
    """WER of all texts together, case and punctuation left out, by jiwer."""
    plain_text = BasicTextNormalizer()
    return jiwer.wer(
        [plain_text(text) for text in references], [plain_text(text) for text in texts]
    )


def source(file: str) -> str:
    """A recipe's code, without the text of its card, in which a typo may be corrected."""
    return re.sub(r'^CARD = """.*?^"""', "", Path(file).read_text("utf-8"), flags=re.M | re.S)


def made_for(folder: Path, **settings: object) -> Path:
    """The folder under `folder` for what is made with these settings by Toytown as it is.

    Where one of the two changes it is another folder, and an old corpus is not taken for the new.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for source in sorted((ROOT / "assets" / "recipes" / "toytown").glob("*.[pt]*")):
        digest.update(source.read_bytes())
    return folder / digest.hexdigest()[:12]


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete training state in `folder`, or None. Half-written ones are removed."""
    steps = {}
    for path in folder.glob("checkpoint-*"):
        if (path / "trainer_state.json").is_file():  # the Trainer writes it last
            steps[int(path.name.split("-")[1])] = str(path)
        else:
            shutil.rmtree(path)
    return steps[max(steps)] if steps else None


def trained(trainer: TimedTrainer, *more: Callable) -> list[dict]:
    """Train from the last state on, or load the state of a training that has ended; its log.

    more: functions of the recipe that decide what is learnt, where no class of it does.

    The states have a folder for this code and these settings. Where one of them changes it is
    another folder: what comes out is what the recipe makes. (Whoever exchanges the weights that a
    training starts from, such as the eyes, moves the states of what follows away.)
    """
    data = getattr(trainer.train_dataset, "whole", trainer.train_dataset)
    kinds = type(trainer), type(trainer.model), type(data), TimedTrainer, *more
    settings = {k: v for k, v in trainer.args.to_dict().items() if not k.endswith("_dir")}
    settings |= {"processes": PROCESSES} if PROCESSES > 1 else {}
    # rebuild.py's hashes of all that decides, by folder: a role's, and that of what it starts from.
    for place, recipe in json.loads(os.environ.get("COURSE_RECIPES", "{}")).items():
        if Path(trainer.args.output_dir).is_relative_to(place):
            settings["recipe"] = recipe
    folder = made_for(
        Path(trainer.args.output_dir),
        code=[source(inspect.getfile(kind)) for kind in kinds],
        settings=settings,
    )
    trainer.args.output_dir = str(folder)
    with trainer.args.main_process_first(local=False):
        last = last_checkpoint(folder)
    done = int(last.rpartition("-")[2]) if last else 0
    tell(trainer.args, done, [])
    if done == trainer.args.max_steps:
        trainer._load_from_checkpoint(last)
        return json.loads((Path(last) / "trainer_state.json").read_text())["log_history"]
    trainer.train(resume_from_checkpoint=last)
    if trainer.watched.stopped:
        raise SystemExit(f"Stopped at step {trainer.state.global_step}; it goes on from there.")
    # Accelerate leaves its bfloat16 forward on the model, and a mark that it need not be asked
    # again: the next stage would compute in bfloat16, too. (Its own unwrap_model keeps the mark.)
    for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
        trainer.model.__dict__.pop(name, None)
    return trainer.state.log_history


def continued(history: list[dict], log: list[dict]) -> list[dict]:
    """The log of a stage after those before it, its steps and seconds counted on."""
    # A resumed training may add lines after the last that has a loss.
    last = [row for row in history if "loss" in row][-1:] or [{"step": 0, "seconds": 0}]
    done = {key: last[0][key] for key in ("step", "seconds")}
    return history + [row | {key: done[key] + row[key] for key in done} for row in log]


def plain(model: PreTrainedModel, cls: type[PreTrainedModel]) -> PreTrainedModel:
    """The same weights in the class that a notebook loads, without the heads for training."""
    kept = cls(model.config)
    missing, _ = kept.load_state_dict(model.state_dict(), strict=False)
    if missing:
        raise ValueError(f"{cls.__name__} would keep random weights for {', '.join(missing)}.")
    return kept.eval()


def save_checkpoint(model: PreTrainedModel, processor, folder: Path) -> None:
    """Write a model as half-precision safetensors that load as float32, beside, then renamed.

    config.json says float32, so that a CPU without fast half precision computes in full.
    """
    if not WRITES:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    model.save_pretrained(beside)  # tied weights once, under the names that are used on the Hub
    state = load_file(beside / "model.safetensors")
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file(half, beside / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((beside / "config.json").read_text())
    config |= {"dtype": "float32"}
    (beside / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    processor.save_pretrained(beside)
    for path in beside.glob("tokenizer.json"):  # as it is saved, half of it is indentation
        tokens = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps(tokens, ensure_ascii=False, separators=(",", ":")), "utf-8")
    for path in beside.iterdir():
        path.chmod(0o644)
    beside.chmod(0o755)
    if folder.exists():
        shutil.rmtree(folder)
    beside.rename(folder)


def write_text(path: Path, text: str) -> None:
    """Write beside and rename: a reader never meets half a file."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def write_manifest() -> None:
    """Write the sha256 of every file that loading reads: `checkpoint()` compares them.

    Not of the card and the training log, in which a typo may be corrected.
    """
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    files = sorted(
        p
        for p in CHECKPOINTS.glob("*/*")
        if p.is_file()
        and "." not in (p.name[0], p.parent.name[0])  # a save that was cut off is hidden
        and p.name not in NOT_LOADED
    )
    hashes = {
        path.relative_to(CHECKPOINTS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    write_text(MANIFEST, json.dumps(hashes, indent=1, sort_keys=True) + "\n")


def write_history(folder: Path, history: list[dict], device: str = CORES) -> None:
    """Write the curve of a training, training.json: step, seconds, loss and what was measured.

    device: what it was trained on; the last row says so.
    """
    kept = [
        {k: v for k, v in row.items() if k in ("step", "seconds", "loss") or k.startswith("eval_")}
        for row in history
    ]
    kept[-1]["device"] = device
    if WRITES:
        write_text(folder / "training.json", json.dumps(kept, indent=1) + "\n")


def facts(folder: Path) -> dict[str, float | str]:
    """What every card says of the checkpoint in `folder`: megabytes, minutes, steps and device."""
    history = json.loads((folder / "training.json").read_text())
    return {
        "megabytes": (folder / "model.safetensors").stat().st_size / 1e6,
        "minutes": history[-1]["seconds"] / 60,
        "steps": history[-1]["step"],
        "device": history[-1]["device"],
    }


def run(role: str, description: str, train: Callable, card: Callable) -> None:
    """A recipe's command: train, save, measure, write the card; with --measure only the last two.

    train(args) writes the checkpoint and its training.json; card(folder) measures and returns text.
    """
    args = options(role, description)
    if not args.measure:
        set_seed(args.seed)  # before the first weight is drawn
        train(args)
    if not WRITES:
        return
    if args.output.resolve().parent == CHECKPOINTS.resolve():
        write_manifest()  # before the card: what has been saved can be loaded, whatever comes
    if not args.smoke:
        write_text(args.output / "README.md", card(args.output))


def parameters(model: torch.nn.Module) -> int:
    """The number of a model's parameters."""
    return sum(p.numel() for p in model.parameters())
