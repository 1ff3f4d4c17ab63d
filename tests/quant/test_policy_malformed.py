"""Each kind of mistake in a policy file is named: the file, the rule and the key."""

from __future__ import annotations

import pytest

from fpsim.errors import FpsimError
from fpsim.quant.policy_toml import loads

RULE = '[[rule]]\nmatch = "*"\n'
MALFORMED = {
    "not TOML": ("[[rule]\n", "p.toml: not valid TOML"),
    "empty": ("", "p.toml: no rule; a policy is a list of [[rule]] tables"),
    "no list": ('[rule]\nmatch = "*"\n', "p.toml: no rule"),
    "no tables": ("rule = [1]\n", "p.toml: rule 1: a rule is a table"),
    "key outside": ('scale = "mse"\n' + RULE + 'weights = "int4"\n', "p.toml: unknown key 'scale'"),
    "unknown key": (RULE + 'weight = "int4"\n', "p.toml: rule 1: unknown key 'weight'; known are match, weights"),
    "no match": ('[[rule]]\nweights = "int4"\n', "p.toml: rule 1: key 'match' is missing"),
    "match": ("[[rule]]\nmatch = 3\n", "p.toml: rule 1: key 'match' is missing or no text"),
    "nothing": (RULE, "p.toml: rule 1: says nothing"),
    "second rule": (RULE + 'acts = "int4"\n' + RULE, "p.toml: rule 2: says nothing"),
    "skip and more": (RULE + 'skip = true\nacts = "int8"\n', "p.toml: rule 1: 'skip = true' contradicts 'acts'"),
    "skip": (RULE + 'skip = "yes"\n', "p.toml: rule 1: key 'skip': 'yes' is not true or false"),
    "unknown format": (RULE + 'weights = "itn4"\n', "p.toml: rule 1: weights: unknown format 'itn4'. Did you mean"),
    "number": (RULE + "weights = 4\n", "p.toml: rule 1: weights: key 'format': 4 is neither a name nor a list"),
    "boolean": (RULE + "acts = true\n", "p.toml: rule 1: acts: key 'format': True is neither"),
    "list of texts": (RULE + 'weights = ["a"]\n', "weights: key 'format': a list of values holds numbers only"),
    "short list": (RULE + "weights = [1.0]\n", "weights: codebook 'codebook' has 1 values"),
    "infinite list": (RULE + "weights = [0, inf]\n", "holds a value that is not finite"),
    "no format": (RULE + 'acts = { scale = "max" }\n', "p.toml: rule 1: acts: key 'format' is missing"),
    "key of a format": (RULE + 'acts = { format = "int8", bits = 4 }\n', "acts: unknown key 'bits'; known are format"),
    "bias": (RULE + 'acts = { format = "e4m3", bias = "7" }\n', "acts: key 'bias': '7' is not a number"),
    "bias nan": (RULE + 'acts = { format = "e4m3", bias = nan }\n', "bias nan is not a finite number"),
    "bias true": (RULE + 'acts = { format = "e4m3", bias = true }\n', "acts: key 'bias': True is not a number"),
    "bias of int": (RULE + 'acts = { format = "int8", bias = 1 }\n', "int8 is no floating-point format"),
    "subnormals": (RULE + 'acts = { format = "e4m3", subnormals = 1 }\n', "key 'subnormals': 1 is not true or false"),
    "specials": (RULE + 'acts = { format = "e4m3", specials = "inf" }\n', "specials 'inf' are not one of ieee"),
    "specials type": (RULE + 'acts = { format = "e4m3", specials = [] }\n', "key 'specials': [] is not text"),
    "granularity": (RULE + 'acts = { format = "e4m3", granularity = "row" }\n', "granularity 'row' is not one of"),
    "granularity type": (RULE + 'acts = { format = "e4m3", granularity = 32 }\n', "key 'granularity': 32 is no text"),
    "acts per channel": (RULE + 'acts = { format = "int8", granularity = "channel" }\n', "rule 1: activations per"),
    "scale": (RULE + 'weights = { format = "e4m3", scale = "best" }\n', "weights: scale rule 'best' is not one of"),
    "scale type": (RULE + 'weights = { format = "e4m3", scale = 1.0 }\n', "weights: key 'scale': 1.0 is no text"),
    "scale of blocks": (RULE + 'weights = { format = "e2m1", scale = "e8m0-floor" }\n', "weights: scale rule"),
    "missing file": (RULE + 'acts = "no.toml#x"\n', "acts: formats file 'no.toml' cannot be read"),
    "formats": ("formats = 3\n" + RULE + 'acts = "int8"\n', "p.toml: 'formats' holds tables"),
    "format key": ("[formats.x]\nbit = 3\n" + RULE + 'acts = "x"\n', "p.toml: formats: [x]: unknown key 'bit'"),
    "format date": ("[formats.x]\nbias = 1979-05-27\n" + RULE + 'acts = "x"\n', "p.toml: formats: datetime.date"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case: str) -> None:
    text, wanted = MALFORMED[case]
    with pytest.raises(FpsimError) as caught:
        loads(text, file="p.toml")
    message = str(caught.value)
    assert wanted in message
    assert message.startswith("p.toml: ")
    assert "\n" not in message
