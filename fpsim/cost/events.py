"""What a run on the meta device leaves behind: operators with the shapes and the storages that they read and made."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT = "weight"
BUFFER = "buffer"
ACTIVATION = "activation"

SDPA = "aten.scaled_dot_product_attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A tensor that an operator reads or writes.

    Attributes:
        storage: id of its memory within the trace; views share it.
        shape: as the operator sees it.
        elements: how many different ones it touches: an expanded tensor repeats those of its storage.
        role: ``weight`` (a parameter), ``buffer`` or ``activation``.
    """

    storage: int
    shape: tuple[int, ...]
    elements: int
    role: str = ACTIVATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A call of an operator.

    Attributes:
        op: its name without the overload, such as ``aten.addmm``.
        layer: dotted path of the innermost module that runs.
        owner: class name of that module.
        inputs: tensors in the order of the arguments.
        outputs: tensors that it returns.
        allocated: (storage, elements) of the memory that it takes.
        freed: storages of which the last reference went between the operator before and this one.
        in_place: whether it writes one of its inputs.
        groups: of a convolution.
        transposed: whether a convolution is transposed.
    """

    op: str
    layer: str = ""
    owner: str = ""
    inputs: tuple[Operand, ...] = ()
    outputs: tuple[Operand, ...] = ()
    allocated: tuple[tuple[int, int], ...] = ()
    freed: tuple[int, ...] = ()
    in_place: bool = False
    groups: int = 1
    transposed: bool = False

    @property
    def is_view(self) -> bool:
        """Whether the result is the memory of an input, unchanged."""
        read = {operand.storage for operand in self.inputs}
        return not self.in_place and bool(self.outputs) and all(out.storage in read for out in self.outputs)
