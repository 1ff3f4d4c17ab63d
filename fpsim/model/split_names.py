"""What the halves of a split layer's tensors are called."""

from __future__ import annotations


def halves(name: str, at: int) -> tuple[str, str]:
    """Return the names of a layer's first ``at`` input channels and of its others.

    >>> halves("up.conv_shortcut", 64)
    ('up.conv_shortcut[:64]', 'up.conv_shortcut[64:]')
    """
    return f"{name}[:{at}]", f"{name}[{at}:]"
