"""Command lines of every verb that work, and the options and the contradictions that make them wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Words = tuple[str, ...]


def _pieces(text: str, *more: Words) -> tuple[Words, ...]:
    """Pieces of command lines, parted by bars."""
    return (*(tuple(piece.split()) for piece in text.split("|")), *more)


#: For each verb a command line that works, quickly.
GOOD: Mapping[str, Words] = {
    "formats": ("formats", "e4m3"),
    "table": ("table", "--format", "e2m1"),
    "inspect": ("inspect", "1", "--format", "e4m3"),
    "compare": ("compare", "e2m1", "--samples", "16"),
    "quantize": ("quantize", "in.safetensors", "--format", "e4m3", "--scale", "max"),
    "vectors": ("vectors", "--format", "e2m1", "--count", "0", "--out", "-"),
    "conformance": ("conformance", "--backend", "numpy", "--format", "e2m1", "--quick", "--width", "32"),
    "score": ("score", "a.npz", "b.npz"),
    "search": ("search", "--bits", "8"),
    "simulate": ("simulate", "--quant", "int8/int8", "--out", "run"),
    "allocate": ("allocate", "--budget", "4.5bpw"),
    "cost": ("cost", "--model", "bundled", "--device", "h100-sxm"),
}
#: What may stand beside them.
HARMLESS: Mapping[str, Sequence[Words]] = {
    "formats": _pieces("| --bias 3 | --no-subnormals | --json"),
    "table": _pieces("| --bias=2.5 | --positive | --csv | --specials ieee | --range 0:3"),
    "inspect": _pieces("| --overflow special | --rounding to-odd | -0.5 | --json"),
    "compare": _pieces("| --seed 3 | --csv | --data laplace"),
    "quantize": _pieces("| --bias 6 | --rounding toward-zero | --min-dims 1 | --granularity tensor"),
    "vectors": _pieces("| --op encode | --seed -3 | --input bf16 | --bias 2"),
    "conformance": _pieces("| --seed 2 | --rounding to-odd | --json"),
    "score": _pieces("| --metric psnr | --limit 1 | --seed 4 | --csv | --require psnr>=0"),
    "search": _pieces(
        "| --steps 5 | --granularity channel | --encodings e4m3,e5m2 | --captured quantized-prefix | --split all"
        "| --init-samples 3"
    ),
    "simulate": _pieces(
        "| --steps 50 | --skip mid* | --seed 1 | --act-scales dynamic | --strict | --split shortcut"
        "| --method chen2024 --init-samples 3 --captured quantized-prefix | --method chen2024 --rounding-beta 20:2"
        "| --method chen2024 --reconstruct block --rounding-for all --no-format-search --scale-aware --split all"
        "| --method q-diffusion --recon-batch 4 --act-init max --softmax-bits 16 --compat q-diffusion"
        "| --method q-diffusion --act-iters 0 --act-lr 0.1 --calibration-steps 3 --rounding-samples 1"
    ),
    "allocate": _pieces(
        "| --measure orm --beta 2 | --formats none,int4 | --acts int4,e4m3 --timestep-bins 8 | --budget 1.5MiB"
        "| --front 3 | --budget b200:8ms | --measure sensitivity --sensitivity-images 2 | --skip mid* | --seed 1"
        "| --gap 0 | --json | --split all | --scale max | --weights-granularity block:32 | --out new.toml"
        "| --plot new.svg | --only conv_*=int8 | --only-acts mid*=int8 --acts int8,e4m3 | --share *.to_[qkv]"
        "| --why conv_in | --front 0"
    ),
    "cost": _pieces(
        "| --batch 1,8 | --weights e4m3 --acts int8 | --device b200,orin-agx@30w | --steps 4 | --cfg | --by layer"
        "| --runtime tensorrt | --attention naive | --quantize-ops separate --act-scales dynamic | --dtype bf16 | --csv"
    ),
}
INTEGERS: Mapping[str, Sequence[str]] = {
    "compare": ("--samples", "--seed"),
    "quantize": ("--random-bits", "--seed", "--min-dims"),
    "vectors": ("--random-bits", "--count", "--seed"),
    "conformance": ("--seed",),
    "score": ("--limit",),
    "search": ("--bits", "--steps", "--batch-size", "--seed", "--init-samples", "--calibration-images"),
    "simulate": (
        "--timestep-bins",
        *("--steps", "--num-images", "--batch-size", "--seed", "--calibration-images", "--init-samples"),
        *("--rounding-samples", "--rounding-iters", "--recon-batch", "--calibration-steps", "--act-iters"),
        "--softmax-bits",
    ),
    "allocate": (
        *("--timestep-bins", "--timesteps", "--calibration-images", "--sensitivity-images", "--measure-seed"),
        *("--front", "--steps", "--batch-size", "--seed"),
    ),
    "cost": ("--steps", "--batch"),
}
REALS: Mapping[str, Sequence[str]] = {
    "search": ("--guidance-scale",),
    "simulate": ("--guidance-scale", "--rounding-lr", "--rounding-lambda", "--act-lr"),
    "allocate": ("--guidance-scale", "--gap", "--seconds", "--beta"),
    **dict.fromkeys(("formats", "table", "inspect", "quantize", "vectors"), ("--bias",)),
}
CHOICES: Mapping[str, Sequence[str]] = {
    "formats": ("--specials",),
    "table": ("--specials", "--range"),
    "inspect": ("--specials", "--rounding", "--overflow", "--nan"),
    "compare": ("--data",),
    "quantize": ("--specials", "--granularity", "--scale", "--rounding", "--overflow", "--include", "--exclude"),
    "vectors": ("--specials", "--op", "--rounding", "--overflow", "--nan", "--input"),
    "conformance": ("--backend", "--rounding", "--overflow", "--width"),
    "score": ("--metric", "--resize", "--require"),
    "search": ("--encodings", "--granularity", "--captured", "--dtype", "--split"),
    "simulate": (
        *("--weights-granularity", "--acts-granularity", "--scale", "--act-scales", "--dtype", "--backend", "--method"),
        *("--captured", "--reconstruct", "--rounding-for", "--rounding-beta", "--split", "--act-init", "--compat"),
    ),
    "allocate": (
        *("--budget", "--measure", "--formats", "--acts", "--weights-granularity", "--acts-granularity", "--scale"),
        *("--orm-aggregate", "--orm-weighting", "--split", "--dtype", "--backend", "--plot"),
    ),
    "cost": (
        *("--device", "--batch", "--runtime", "--attention", "--quantize-ops", "--act-scales", "--dtype", "--by"),
        *("--weights", "--acts", "--plot", "--model"),
    ),
}
_CHEN, _QDIFF = ("--method", "chen2024"), ("--method", "q-diffusion")
#: Options of methods that are wrong whatever else is given: out of range, or another method's.
METHOD_FAULTS: Sequence[Words] = (
    *((*_CHEN, *words) for words in _pieces(
        "--init-samples 0 | --init-samples -1 | --init-samples 999999999999 | --no-format-search --init-samples 4"
        "| --rounding-iters -1 | --rounding-samples 0 | --rounding-samples 999999999999 | --rounding-lr 0"
        "| --rounding-lr -1 | --rounding-lr nan | --rounding-lr inf | --rounding-lambda -1 | --rounding-lambda nan"
        "| --rounding-lambda inf | --rounding-beta 0 | --rounding-beta 20:0 | --rounding-beta 1e3 | --rounding-beta 2e3"
        "| --rounding-beta : | --rounding-beta 20:2:1 | --recon-batch 3 | --act-iters 3 | --act-lr 1 | --softmax-bits 8"
        "| --compat none | --act-init max | --calibration-steps 2 | --rounding-iters 99999999999999999999",
        ("--rounding-beta", ""), ("--rounding-beta", "\0"), ("--rounding-beta", "9" * 5000),
    )),
    *((*_QDIFF, *words) for words in _pieces(
        "--recon-batch 0 | --recon-batch -1 | --act-iters -1 | --act-lr 0 | --act-lr nan | --act-lr inf | --act-lr -1"
        "| --softmax-bits 1 | --softmax-bits 17 | --softmax-bits -8 | --calibration-steps 0 | --calibration-steps 99"
        "| --rounding-iters -1 | --rounding-samples 0 | --rounding-lambda nan | --rounding-lr 0 | --rounding-beta 0"
        "| --init-samples 3 | --captured quantized-prefix | --reconstruct layer | --rounding-for all | --scale-aware"
        "| --no-format-search | --rounding-samples 999999999999 | --recon-batch 99999999999999999999"
        "| --act-iters 99999999999999999999 | --rounding-iters 99999999999999999999",
    )),
    *_pieces(
        "--init-samples 3 | --captured full-precision | --rounding-iters 3 | --rounding-lr 1 | --rounding-lambda 1"
        "| --rounding-beta 20 | --rounding-samples 3 | --rounding-for all | --reconstruct block | --scale-aware"
        "| --no-format-search | --recon-batch 3 | --act-iters 3 | --act-lr 1 | --act-init ema | --softmax-bits 8"
        "| --compat none | --calibration-steps 2"
    ),
)  # fmt: skip
#: Values that none of these options takes.
BAD_CHOICES = (
    *"nearest no max: percentile: percentile:nan percentile:50 block: 9:1 block:-1 block:1 block:² channel:1".split(),
    *"tensor: e8m0- -floor e4m3-max-max mxfp4-floor student-t: student-t:2 student-t:nan student-t:inf 128".split(),
    *"0: : 0:0x -1:3 3:2 0:99 Max RNE [ [! nope*".split(),
    *("", " ", "\0", "\n", "block:" + "9" * 5000, "0:" + "9" * 5000, "student-t:" + "9" * 400),
)
FILES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(GOOD, ("--formats-file",)),
    "score": ("--lpips", "--features", "--reference-statistics", "--floor"),
    "search": ("--prompts",),
    "simulate": ("--formats-file", "--policy", "--prompts"),
    "allocate": ("--formats-file", "--prompts"),
    "cost": ("--devices", "--calibration", "--policy", "--formats-file"),
}
CONTRADICTIONS: Mapping[str, Sequence[Words]] = {
    "formats": _pieces("e5m2 | --bias 9999 | --specials fnuz --bias -5000"),
    "table": _pieces("--format mxfp4 | e4m3 | --format int8 --bias 2 | --format binary32"),
    "inspect": _pieces("--format mxfp4 | --format , | --rounding stochastic | - -", ("--format", "")),
    "compare": _pieces("--samples 15 | --seed -1 | --data normal:3 | --samples 999999999999 | -- -x"),
    "quantize": _pieces(
        "--seed 0 | --random-bits 3 | --dequantize | --overwrite | --out in.safetensors | --out . | in.safetensors"
        "| --out empty/x | --out /proc/x/y | --format mxfp4 --scale mse | --overflow special --format e2m1"
        "| --rounding stochastic | --rounding stochastic --seed -1 | --format int4 --bias 1 | --min-dims 3"
        "| --rounding stochastic --seed 1 --random-bits 99",
        *(("--out", name) for name in ("\0", "\ud800", "x" * 300, "", " ")),
        *(("--rounding", "stochastic", "--seed", "9" * digits) for digits in (50, 5000)),
    ),
    "vectors": _pieces(
        "--random-bits 8 | --rounding stochastic --random-bits 0 | --format binary32 | --count -1 | --out x.txt"
        "| --out folder.csv | --overflow special | --out empty.csv | --rounding stochastic --seed -1"
        "| --rounding stochastic --random-bits 99 | --out missing/x.csv | --format e4m3 -"
        "| --out full.csv --overwrite | --out folder.csv --overwrite",
        *(("--out", name) for name in ("\0.csv", "\ud800.csv", "x" * 300 + ".csv", "", " ")),
        *(("--rounding", "stochastic", "--seed", "9" * digits) for digits in (50, 5000)),
    ),
    "conformance": _pieces("--full | --format mxfp4 | --overflow special | --seed -1 | --width 16"),
    "score": _pieces("c.npz | --metric fid | --metric lpips | --metric psnr,nope | --require psnr<=x | --limit 0"),
    "search": _pieces(
        "--weights-bits 4 | --bits 99 | --encodings e9m9 | --out . | --out missing/x | --steps 0 | --init-samples 0"
        "| --init-samples -3 | --init-samples 999999999999 | --guidance-scale nan | --seed -1 | --batch-size 0"
    ),
    "simulate": _pieces(
        "--quant int8/int8 | --quant int8 | --quant / | --quant e4m3/e4m3/e4m3 | --steps 0 | --out empty | --out pipe"
        "| --seed -1 | --acts-granularity channel | --num-images 0 | --num-images 999999999999 | --batch-size -1"
        "| --timestep-bins 8 --act-scales dynamic"
        "| --calibration-images 0 | --guidance-scale nan | --guidance-scale -1 | --quant #/#"
        "| --weights mxfp4 --scale e8m0-floor --acts int8 | --calibration-images 999999999999",
        *METHOD_FAULTS,
        *(("--out", name) for name in ("", " ", "\0", "\ud800", "x" * 300)),
        ("--quant", "full precision/x"),
    ),
    "allocate": _pieces(
        "--budget 4bpw | --budget 0bpw | --budget b200:8 | --budget -1MB | --budget 1e999bpw | --budget infMB"
        "| --beta 2 | --measure orm --beta 0 | --measure orm --beta nan | --measure mse --measure-seed 1"
        "| --measure-seed -1 | --measure sensitivity --sensitivity-images 0 | --orm-weighting own | --formats int4,int4"
        "| --formats int4,"
        "| --acts int8,none --timestep-bins 2 | --timestep-bins 8 | --timestep-bins 0 | --timesteps 0 | --front 1"
        "| --front -1 | --gap 1 | --gap nan | --gap -1 | --seconds 0 | --seconds nan | --calibration-images 0"
        "| --plot x.pdf | --plot missing/x.png | --out . | --out missing/x | --out in.safetensors | --seed -1"
        "| --acts-granularity channel | --work in.safetensors | --guidance-scale nan | --batch-size 0 | --steps 0"
        "| --formats mxfp4,e9m9 | --only int8 | --only =int8 | --only conv_in= | --only nothing=int8"
        "| --only conv_in=e9m9 | --only-acts conv_in=int8 | --share nothing*"
        "| --why nothing | --only *=int8 --budget 2bpw",
        *((option, name) for option in ("--out", "--work", "--plot") for name in ("", " ", "\0", "\ud800")),
    ),
    "cost": _pieces(
        "--weights e4m3 --policy zero.toml | --device nope | --device , | --batch 0 | --batch 1,x | --batch 9999999"
        "| --batch best,, --by nope | --device orin-agx@7w | --batch 1000000 | --steps 0 | --steps 10001 | --dtype fp8"
        "| --plot x.pdf | --plot missing/x.png | --weights none,int8 | --acts e9m9 | --json --csv | extra"
        "| calibrate --device-name a | calibrate --out x.toml | calibrate --device-name a --out x.toml --threads 0"
        "| calibrate --device-name a --out x.toml --seconds 0 | calibrate --device-name a --out x.toml --tdp-w nan"
        "| calibrate --device-name a --out x.toml --model nope | --model garbage.toml | --model folder.json",
        *((option, name) for option in ("--device", "--batch", "--model", "--plot") for name in ("", "\0", "\ud800")),
        ("--batch", "9" * 5000),
        ("--device", "x" * 5000),
        ("--batch", "²"),
    ),
}
