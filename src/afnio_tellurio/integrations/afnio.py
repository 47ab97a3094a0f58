"""What programs of afnio use besides runs: its logging, its variables, and its `Trainer`."""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from afnio_tellurio.integrations.afnio_checkpoints import CheckpointArtifact
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn
from afnio_tellurio.tracking.functions import get_active_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from afnio_tellurio.tracking.run import Run

    _Hook = Callable[[dict[str, Any]], None]

__all__ = ["Tracker", "configure_logging", "suppress_variable_notifications"]

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
#: Names of settings whose values may be secret.
_SECRET = re.compile(
    "key|token|secret|passw|passphrase|pwd|auth|bearer|cookie|credential|signature|header",
    re.IGNORECASE,
)
#: Secrets inside of a text: the user of a URL, and parameters of its query.
_SECRET_TEXT = re.compile(
    r"(?<=//)[^/@\s]+(?=@)|(?<=[?&])[^=&\s]*(key|token|secret|passw|auth|sig)[^=&\s]*=[^&\s]+",
    re.IGNORECASE,
)
_MAX_DEPTH = 8


def configure_logging(verbosity: str = "info") -> None:
    """Configures logging as afnio does, and shows the messages of runs at the same level.

    Args:
        verbosity: The lowest level of messages to show, such as `"info"` or `"warning"`.

    Raises:
        ImportError: afnio is not installed.
        TypeError: The level is not a string.
    """
    _import_afnio("afnio.logging_config").configure_logging(verbosity)
    ours, afnios = logging.getLogger("afnio_tellurio"), logging.getLogger("afnio")
    ours.setLevel(afnios.level)


def suppress_variable_notifications() -> AbstractContextManager[None]:
    """Returns a context in which changes of afnio's variables are not sent to the platform.

    Raises:
        ImportError: afnio is not installed.
    """
    module = _import_afnio("afnio.tellurio._variable_registry")
    context: AbstractContextManager[None] = module.suppress_variable_notifications()
    return context


def _import_afnio(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "afnio":
            raise
        raise ModuleNotFoundError(
            "this function belongs to afnio, which is not installed; install it with: "
            "pip install afnio",
            name="afnio",
        ) from None


class Tracker:
    """Logs what afnio's `Trainer` does not: settings, prompts, tokens and checkpoints.

    Create it before `fit`, `validate` or `test`. It logs to the active run:

    - `config`: the settings of each fit: epochs, samples, optimizer, models and parameters. What
      looks like a credential is replaced by `***`.
    - `parameters/NAME`: the text of each parameter before the first training step of a run, and
      after each step that changed it.
    - `clients/NAME/train_total_tokens`, for example: the prompt, completion and total tokens, and
      the cost, of each batch. `val` and `test` have series of their own. The clients are those
      passed to the trainer as `llm_clients`.
    - `checkpoints`: path, epoch, batch and size of each checkpoint.

    With `checkpoints`, the checkpoint of each epoch is also a version of an artifact of type
    `checkpoint`: the file `checkpoint.hf`, and in `metrics.json` and in its metadata the epoch, the
    step, and the metrics of the epoch. The alias `best` names the version with the best monitored
    metric, in all runs of the project.

    Steps are batches, counted from 1 in each run. The trainer works as without it: what cannot be
    logged is reported once.

    Args:
        trainer: The trainer.
        clients: Its clients by the names to use; default the provider and a number, such as
            `openai_0`.
        checkpoints: The name of the artifact; default no artifact.
        monitor: The metric that decides which version is the best, for example `"train_loss"`.
        mode: `"max"` if its greatest value is the best, `"min"` if the least is.
        keep: How many of the newest versions without an alias to keep; older ones are deleted for
            good. Default all.

    Raises:
        TypeError: It is not a `Trainer` of a known version of afnio, the clients have no names, or
            another argument has the wrong type.
        ValueError: The trainer has a tracker already, or an argument is invalid.
    """

    def __init__(
        self,
        trainer: Any,
        clients: Mapping[str, Any] | None = None,
        *,
        checkpoints: str | None = None,
        monitor: str = "val_accuracy",
        mode: Literal["max", "min"] = "max",
        keep: int | None = None,
    ) -> None:
        hooks: dict[str, tuple[list[_Hook], list[_Hook]]] = {
            "fit": ([self._start_phase, self._start_fit], []),
            "validate": ([self._start_phase], []),
            "test": ([self._start_phase], []),
            "_run_training_step_with_retries": (
                [],
                [self._count_training_step, self._log_config, self._log_usage, self._log_texts],
            ),
            "_run_fn_with_retries": ([], [self._log_evaluation_step]),
            "_collect_metrics": ([], [self._note_metrics]),
            "_save_checkpoint": ([], [self._log_checkpoint, self._log_version]),
        }
        missing = [name for name in hooks if not callable(getattr(trainer, name, None))]
        if missing:
            raise TypeError(
                f"Tracker: {type(trainer).__name__} is not a Trainer of afnio 0.3: it has no "
                f"{', '.join(missing)}"
            )
        if any(name in vars(trainer) for name in hooks):
            raise ValueError("Tracker: this trainer has a tracker already")
        if not isinstance(clients, Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance] - callers need not check types
            raise TypeError(
                f"Tracker: clients is a {type(clients).__name__}; pass a dict of names and clients"
            )
        self._artifact = (
            None if checkpoints is None else CheckpointArtifact(checkpoints, monitor, mode, keep)
        )
        self._trainer = trainer
        self._names = {id(client): name for name, client in (clients or {}).items()}
        self._agent: Any = None
        self._clients: list[tuple[str, Any]] = []
        self._config: dict[str, Any] = {}
        self._run: Run | None = None
        self._phase = "train"
        self._steps: Counter[str] = Counter()
        self._texts: dict[str, Any] = {}
        # By phase, then name: the values of the batches of this epoch.
        self._metrics: dict[str, dict[str, list[Any]]] = {}
        for name, (before, after) in hooks.items():
            setattr(trainer, name, _with_hooks(getattr(trainer, name), before, after))

    def _start_phase(self, arguments: dict[str, Any]) -> None:
        """Remembers what a call of `fit`, `validate` or `test` works with."""
        self._agent, self._clients, self._config = arguments["agent"], [], {}
        self._metrics.clear()
        if self._run is not get_active_run():
            self._run = get_active_run()
            self._steps.clear()
            self._texts.clear()
        for number, client in enumerate(arguments["llm_clients"] or ()):
            default = f"{client.get_provider() or type(client).__name__}_{number}"
            self._clients.append((self._names.get(id(client), default), client))

    def _start_fit(self, arguments: dict[str, Any]) -> None:
        self._config = {"max_epochs": self._trainer.max_epochs}
        for phase in ("train", "val"):
            loader = arguments[f"{phase}_dataloader"]
            if loader is not None:
                self._config[f"{phase}_samples"] = len(loader.dataset)
                self._config[f"{phase}_batch_size"] = getattr(loader, "batch_size", None)
        self._log_texts(arguments)

    def _count_training_step(self, _arguments: dict[str, Any]) -> None:
        self._phase = "train"
        self._steps["train"] += 1

    def _log_evaluation_step(self, arguments: dict[str, Any]) -> None:
        phase = {"validation_step": "val", "test_step": "test"}.get(arguments["step_name"])
        if phase is not None:
            self._phase = phase
            self._steps[phase] += 1
            self._log_usage(arguments)

    def _log_config(self, arguments: dict[str, Any]) -> None:
        # After the first step: only then the modules know their models.
        config, self._config = self._config, {}
        if not config:
            return
        config |= {
            "agent": type(self._agent).__name__,
            "optimizer": _optimizer_settings(arguments["optimizer"]),
            "models": {
                name: _plain(module.__dict__["_completion_configs"])
                for name, module in self._agent.named_modules()
                if module.__dict__.get("_completion_configs")
            },
            "parameters": {
                name: {"role": parameter.role, "requires_grad": parameter.requires_grad}
                for name, parameter in self._agent.named_parameters()
            },
            "clients": {
                name: {"provider": client.get_provider(), "class": type(client).__name__}
                for name, client in self._clients
            },
        }
        get_active_run().log("config", config)

    def _log_texts(self, _arguments: dict[str, Any]) -> None:
        changed = {
            f"parameters/{name}": parameter.data
            for name, parameter in self._agent.named_parameters()
            if self._texts.get(f"parameters/{name}", _Unknown) != parameter.data
        }
        get_active_run().log_metrics(changed, self._steps["train"])
        self._texts |= changed

    def _log_usage(self, _arguments: dict[str, Any]) -> None:
        """Logs what a batch used: the trainer sets the counts to zero after each."""
        used: dict[str, Any] = {}
        for name, client in self._clients:
            usage = client.get_usage()
            prefix = f"clients/{name}/{self._phase}"
            used |= {f"{prefix}_{kind}": usage[kind] for kind in _TOKENS if kind in usage}
            used[f"{prefix}_cost"] = usage["cost"]["amount"]
        get_active_run().log_metrics(used, self._steps[self._phase])

    def _note_metrics(self, arguments: dict[str, Any]) -> None:
        self._metrics[self._phase] = arguments["metrics_dict"]

    def _log_checkpoint(self, arguments: dict[str, Any]) -> None:
        file = self._saved_file(arguments)
        checkpoint = {
            "path": str(file),
            "epoch": arguments["epoch"],
            "batch": arguments["batch"],
            "bytes": file.stat().st_size,
        }
        get_active_run().log("checkpoints", checkpoint)

    def _log_version(self, arguments: dict[str, Any]) -> None:
        # Those of batches come before the validation, and the one of the epoch after it.
        if self._artifact is None or arguments["batch"] is not None:
            return
        position = {"epoch": arguments["epoch"], "step": self._steps["train"]}
        metrics: dict[str, Any] = {}
        for phase, values in self._metrics.items():
            averages = self._trainer._average_metrics(values)  # noqa: SLF001 - it logs them
            metrics |= {f"{phase}_{name}": average for name, average in averages.items()}
        self._artifact.log(get_active_run(), self._saved_file(arguments), position, metrics)

    def _saved_file(self, arguments: dict[str, Any]) -> Path:
        epoch, batch = arguments["epoch"], arguments["batch"]
        folder = Path(self._trainer.default_root_dir) / "checkpoints"
        pattern = f"checkpoint_epoch{epoch}_*"
        if batch is not None:
            folder, pattern = folder / f"epoch_{epoch}", f"checkpoint_batch{batch}_*"
        # Its name has the time: an earlier fit may have left others.
        return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)


class _Unknown:
    """The text of a parameter that was not logged yet."""


def _with_hooks(
    method: Callable[..., Any],
    before: list[_Hook],
    after: list[_Hook],
) -> Callable[..., Any]:
    """A method that calls hooks with its arguments before and after it works."""
    signature = inspect.signature(method)
    reported: set[str] = set()

    def call(hooks: list[_Hook], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for hook in hooks:
            try:
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                hook(bound.arguments)
            except Exception as error:  # noqa: BLE001 - tracking never disturbs the training
                raise_foreign(error, by_type=False)
                if hook.__name__ not in reported:
                    reported.add(hook.__name__)
                    warn(f"Tracker: {method.__name__} is not tracked in full: {error!r}")

    @functools.wraps(method)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        call(before, args, kwargs)
        result = method(*args, **kwargs)
        call(after, args, kwargs)
        return result

    return tracked


def _optimizer_settings(optimizer: Any) -> Any:
    if optimizer is None:
        return None
    if isinstance(optimizer, list | tuple):  # of manual optimization
        return [_optimizer_settings(each) for each in cast("list[Any]", optimizer)]
    return {"name": type(optimizer).__name__, **_plain(optimizer.defaults)}


def _plain(value: Any, depth: int = 0) -> Any:
    """A setting of afnio as JSON: the text of a variable, the type of another object."""
    value = getattr(value, "data", value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _SECRET_TEXT.sub("***", value)
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            return _plain_entries(value, depth)  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, list | tuple):
            return _plain_items(cast("list[Any]", value), depth)
    return type(value).__name__


def _plain_entries(settings: dict[Any, Any], depth: int) -> dict[str, Any]:
    return {
        str(name): _hidden(name, value) or _plain(value, depth + 1)
        for name, value in settings.items()
    }


def _plain_items(items: list[Any], depth: int) -> list[Any]:
    if len(items) == 2 and isinstance(items[0], str):  # noqa: PLR2004 - a name and its value
        return [items[0], _hidden(items[0], items[1]) or _plain(items[1], depth + 1)]
    return [_plain(item, depth + 1) for item in items]


def _hidden(name: Any, value: Any) -> str | None:
    """A mark for the value of a setting that may be secret; numbers, such as counts, are not."""
    is_number = value is None or isinstance(value, bool | int | float)
    return "***" if not is_number and _SECRET.search(str(name)) else None
