"""The contract of a self-supervised objective: make views, score them, tidy up after a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from torch import Generator, Tensor, nn

from ssl_models.data import DataSpec
from ssl_models.datasets._common.split import IMAGES
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsParts

FAMILIES = ("control", "pretrained", "predictive", "contrastive", "energy", "refit")


@dataclass(frozen=True)
class Scored:
    """What `Method.loss` returns for a batch.

    terms: named scalars. Those with a gradient are summed and minimised. Detached ones (an accuracy) are only logged.
    handed_over: what `Method.after_step` is given after the optimiser step, e.g. the features for a memory bank.
    chance: the chance level of the loss for this batch, where it depends on the size of the batch.
    """

    terms: dict[str, Tensor]
    handed_over: Any = None
    chance: float | None = None

    @classmethod
    def of(cls, found: dict[str, Tensor] | Scored) -> Scored:
        """The result of any `Method.loss`: a method may return its terms alone."""
        return found if isinstance(found, Scored) else cls(found)


class Method(nn.Module, ABC):
    """A self-supervised objective around one encoder.

    A subclass takes `(encoder, data, *, hyper-parameters)`. The keyword-only part of the signature is the schema of the
    method's block in params.yaml. All state (heads, banks, queues, teachers) is in parameters and buffers, so that it
    is checkpointed and moves with `.to()`.

    The docstring of a subclass has a line for each hyper-parameter: its name, its meaning, the default here, and the
    value in the paper that `reference` names. "Own" says that the paper has no such parameter. Where no value of the
    paper is given, the paper states none, or none was found. "See Augmentation" (or MildViews) refers to the class that
    documents parameters which several methods share.
    """

    family: ClassVar[str]
    """One of FAMILIES."""

    reference: ClassVar[str]
    """The paper that it comes from, as "Gidaris et al. 2018, arXiv:1803.07728"; empty for a control."""

    parts: tuple[str, ...] = (IMAGES,)
    """The parts of a sample that `views` is given, in order. () in a class stands for whatever its encoder reads; its
    __init__ then sets them, by `encoder.reads`."""

    crops: ClassVar[bool] = False
    """Whether `views` takes pictures larger than `data.shape` and crops them to it; others are given the middle."""

    by_rows: ClassVar[bool] = False
    """Whether the views of a sample depend on no other of its batch, and every draw is by views/drawing.py.

    Then each of several processes reads a part of the batch and makes the views of that, which `layout` joins to those
    of the whole batch. Otherwise each makes all views."""

    meets: bool = False
    """Whether `meet` is given the views of all samples before the first step, e.g. to fill a memory bank."""

    chance: float | None = None
    """The loss of a network that has learned nothing, e.g. log(classes), set in __init__.

    None where there is no such level, or where it depends on the batch: `loss` then returns it in a Scored.
    """

    trains: bool = True
    """False for what is saved as it was initialised, or with the weights that it was given."""

    starts_from: str | None = None
    """The weights that its encoder is to be given after __init__, by `ssl_models.weights.load`; None for its own."""

    def __init__(self, encoder: Encoder) -> None:
        """`encoder` is what will be saved: the one that was given, or one that the method has made of it."""
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """Called as `views(*parts, generator)`: (B, ...) as stored -> views, each (B, ...) or (B * k, ...).

        Views are on the device of the parts, and of the kind that the encoder takes (modalities/inputs.py).

        Every random number is drawn from `generator`, which is on that device. A view may also hold int64 numbers, such
        as labels of the pretext task.
        """

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:
        """How the rows of each of `views` lie, of a method that is `by_rows`; nobody asks others.

        1: in the order of the samples, those of one next to each other, (B, ...) or (B * k, ...). n > 1: in n such
        blocks, one after another. 0: the view belongs to the batch as a whole, and is the same for every part of it.
        """
        return (1,) * len(views)

    @abstractmethod
    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor] | Scored:
        """The terms of the loss for a batch of samples `index` (B,) int64, see Scored; alone where they are all.

        Sets no attribute of the method: what later steps need is handed over to `after_step`, or is in a buffer.
        """

    def meet(self, *views: Tensor, index: Tensor) -> None:
        """Called before the first step, without gradients, batch after batch, of a method that `meets`.

        The last batch may hold samples of the one before.
        """

    def classifier(self) -> nn.Linear | None:
        """The head that gives the classes of `data.labels` from the encoder's vectors, where there is one."""
        return None

    def pictures(self, samples: Sequence[Tensor]) -> dict[str, Any]:  # noqa: ARG002
        """What a finished training has to show, for the report: name -> (H, W, 3) uint8 array.

        samples: some test samples, (N, ...) of each part in `parts`, as `views` takes them. It is called in evaluation
        mode and without gradients, and draws by generators of its own.
        """
        return {}

    def after_step(self, handed_over: Any, progress: float) -> None:
        """Updates banks, queues and teachers after an optimiser step.

        handed_over: what `loss` handed over in this step. progress: share of the training that is done, in (0, 1].
        """


def require_parts(method: type[Method], name: str, data: DataSpec) -> None:
    """Raises NeedsParts for data that lack a part which the method reads; `name` is that of its file."""
    for part in method.parts:
        if part not in data.shapes:
            raise NeedsParts((part,), data.shapes, f"the method '{name}'")


def views_by(method: Method, parts: Sequence[Tensor], generator: Generator) -> tuple[Tensor, ...]:
    """What a method's `views` gives. Raises ValueError, by file and class, where that is no tuple of tensors."""
    found = method.views(*parts, generator)
    if not isinstance(found, tuple) or not all(isinstance(view, Tensor) for view in found):
        raise ValueError(f"{place_of(method)}.views gives a {type(found).__name__}; it must give a tuple of tensors")
    return found


def scored_by(method: Method, *views: Tensor, index: Tensor) -> Scored:
    """What a method's `loss` gives. Raises ValueError, by file and class, for terms that cannot be minimised."""
    scored, place = Scored.of(method.loss(*views, index=index)), f"{place_of(method)}.loss"
    if not isinstance(scored.terms, dict):
        raise ValueError(
            f"{place} gives a {type(scored.terms).__name__}; it must give a dict of named terms, or a Scored"
        )
    for name, term in scored.terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            what = f"the shape {tuple(term.shape)}" if isinstance(term, Tensor) else f"the type {type(term).__name__}"
            raise ValueError(f"{place}: the term '{name}' has {what}; it must be a tensor without dimensions")
    if not any(term.requires_grad for term in scored.terms.values()):
        raise ValueError(f"{place}: no term has a gradient, so there is nothing to minimise")
    return scored


def place_of(method: Method) -> str:
    """A method's file and class, as "ssl_models/methods/rotation.py: Rotation"."""
    kind = type(method)
    return f"{kind.__module__.replace('.', '/')}.py: {kind.__name__}"


def method_class(name: str) -> type[Method]:
    """The class that `ssl_models/methods/<name>.py` offers as METHOD."""
    method: type[Method] = import_module(f"ssl_models.methods.{name}").METHOD
    return method
