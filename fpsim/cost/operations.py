"""What a model computes: one entry per operation, with its counts, before any device or format is chosen."""

from __future__ import annotations

from dataclasses import dataclass

#: Classes of operations, in the order of stacked plots.
KINDS = ("conv", "linear", "attention", "norm", "activation", "elementwise", "layout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of a forward pass, as eager torch would launch it.

    Attributes:
        layer: dotted path of the innermost module that it belongs to; a policy's rules are matched with it.
        op: the torch operator, such as ``aten.convolution``.
        kind: one of ``KINDS``; ``attention`` is the two products and the softmax of scaled dot-product attention, as
            one operation however the model computes it, and any other product of two activations.
        macs: multiply–accumulates of a product; 0 for everything else.
        flops: floating-point operations: 2 · macs for products (the softmax of attention is not counted), operations
            per element times elements otherwise, 0 for layout.
        weights: elements of parameters that are read.
        inputs: elements of activations that are read.
        outputs: elements of activations that are written.
        gemm: (batch, M, N, K) of a product as matrix multiplication, M rows of activations and N outputs; a group of
            a convolution is a batch; of attention the first product's. None for everything else.
        scores: elements of the score matrix, of attention only; 0 otherwise.
        kernels: kernels that eager execution launches for it.
    """

    layer: str
    op: str
    kind: str
    macs: int = 0
    flops: int = 0
    weights: int = 0
    inputs: int = 0
    outputs: int = 0
    gemm: tuple[int, int, int, int] | None = None
    scores: int = 0
    kernels: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A network of a pipeline, traced once.

    Attributes:
        name: ``denoiser``, ``text_encoder`` or ``decoder``.
        operations: in the order of execution, for ``batch`` samples.
        parameters: elements.
        buffers: elements.
        live: peak of live activation elements between operations, with attention fused.
        live_naive: the same with score matrices materialized, two of them, the product's and the softmax's.
        calls: how often it runs for one image: once a step (and twice with classifier-free guidance, which ``batch``
            does not hold), or once. 0 stands for once a step.
        attention_live: live activation elements, the result's among them and score matrices not, while each operation
            with ``scores`` runs, in their order.
        parameter_shapes: name and shape of every parameter.
    """

    name: str
    operations: tuple[Operation, ...]
    parameters: int
    buffers: int = 0
    live: int = 0
    live_naive: int = 0
    calls: int = 0
    attention_live: tuple[int, ...] = ()
    parameter_shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A whole model.

    Attributes:
        name: what the user gave.
        source: where its shapes are from.
        batch: samples that the operations are for.
        components: the denoiser first.
    """

    name: str
    source: str
    batch: int
    components: tuple[Component, ...]

    @property
    def denoiser(self) -> Component:
        """The network that runs at every step."""
        return self.components[0]
