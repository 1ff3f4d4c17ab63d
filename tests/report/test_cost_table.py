"""The section about cost: every row and device, text escaped, older runs without it."""

from __future__ import annotations

from typing import Any

from fpsim.report.cost_table import cost_section
from fpsim.report.html import write_html

COST: dict[str, Any] = {
    "batch": 1,
    "cfg": True,
    "runtime": "eager",
    "attention": "fused",
    "quantize_ops": "fused",
    "act_scales": "static",
    "dtype": "fp16",
    "rows": [
        {
            "label": "<b>x",
            "device": device,
            "level": "calibrated",
            "step_s": 0.0123,
            "step_low_s": 0.01,
            "step_high_s": 0.0151,
            "step_bound_s": 0.00098765,
            "waits_for": "memory",
            "peak_bytes": 81_500_000_000,
            "device_bytes": size,
            "computes": [
                {"compute": "fp8", "level": "native", "layers": 60},
                {"compute": "fp16", "level": "stored", "layers": 5},
            ],
        }
        for device, size in (("h100-sxm", 80_000_000_000), ("b200", 180_000_000_000))
    ],
    "notes": ["<i>measured"],
}


def test_a_table_names_level_interval_and_bound(make_run: Any, make_folder: Any) -> None:
    page = write_html(make_folder({**make_run(["e4m3/e4m3"]), "cost": COST})).read_text(encoding="utf-8")
    section = cost_section({"cost": COST})
    assert section in page
    for wanted in ("12.3", "10.0 to 15.1", "calibrated", "0.988", "81,500.0", "1 image with guidance", "b200"):
        assert f">{wanted}<" in section or wanted in section
    assert "fp8, native (60 layers); fp16, stored (5 layers)" in section
    assert section.count("does not fit into memory") == 1
    assert section.count('rowspan="2"') == 1


def test_users_text_is_escaped() -> None:
    section = cost_section({"cost": COST})
    assert "<b>x" not in section
    assert "<i>measured" not in section
    assert "No estimate: &lt;s&gt;" in cost_section({"cost": {"missing": "<s>"}})


def test_a_run_of_an_older_version_has_no_section(make_run: Any) -> None:
    assert cost_section(make_run(["e4m3/e4m3"])) == ""
