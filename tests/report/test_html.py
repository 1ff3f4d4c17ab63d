"""The page: self-contained, escaped, the same bytes every time, complete."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fpsim.report.html import write_html

MakeRun = Callable[..., dict[str, Any]]
MakeFolder = Callable[..., Path]
VOID = {"meta", "img", "br", "link", "input"}
FETCHING = {"src", "srcset", "href", "xlink:href", "data", "action", "poster", "background", "ping", "formaction"}
ATTACK = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.styles if self.open and self.open[-1] in ("style", "script") else self.text).append(data)


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (512, 512, 3)])
@pytest.mark.parametrize("labels", [["e4m3/e4m3"], [f"e{e}m{7 - e}/int8" for e in range(1, 8)]])
def test_nothing_is_fetched(
    shape: tuple[int, int, int], labels: list[str], make_run: MakeRun, make_folder: MakeFolder
) -> None:
    path = write_html(make_folder(make_run(labels, count=3), shape))
    page = read(path)
    assert path.name == "report.html"
    assert "http" not in path.read_text(encoding="utf-8").replace('http-equiv="', "")
    fetched = [value for _, name, value in page.attributes if name in FETCHING]
    assert len([value for value in fetched if value.startswith("data:image/png;base64,")]) == len(labels) + 1
    assert all(value.startswith(("data:", "#")) for value in fetched)
    for text in [*page.styles, *(value for _, name, value in page.attributes if name == "style")]:
        assert re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest|import\(", text) is None
    assert ("meta", "http-equiv", "Content-Security-Policy") in page.attributes
    assert page.tags.count("script") == 1
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)


def test_the_same_run_gives_the_same_bytes(make_run: MakeRun, make_folder: MakeFolder) -> None:
    run = make_run(["e4m3/e4m3", "int8/int8"])
    a, b = (write_html(make_folder(run, name=name)) for name in ("a", "b"))
    assert a.read_bytes() == b.read_bytes()
    assert write_html(a.parent).read_bytes() == b.read_bytes()
    assert sorted(p.name for p in a.parent.iterdir()) == ["images", "report.html", "run.json"]


def test_users_text_is_text_everywhere(make_run: MakeRun, make_folder: MakeFolder) -> None:
    run = make_run(["x", "e4m3/e4m3"])
    run["model"] = dict.fromkeys(run["model"], ATTACK) | {ATTACK: 1}
    run["sampling"] |= {"prompts": [ATTACK, "a cat"], "scheduler": ATTACK}
    run["quantization"] |= {"skip": [ATTACK], "policy_file": ATTACK}
    run["environment"] |= {"machine": ATTACK}
    run |= {"command": f"fpsim simulate --prompts {ATTACK}", "fpsim": ATTACK, "run_hash": ATTACK}
    run["reference"]["label"] = ATTACK
    run["rows"][0] |= {"label": ATTACK, "weights": ATTACK, "acts": ATTACK}
    run["rows"][0]["layers"][0] |= {"name": ATTACK, "kind": ATTACK, "weights": ATTACK, "acts": ATTACK}
    run["rows"][0]["left"][0] = dict.fromkeys(["name", "kind", "reason"], ATTACK)
    page = read(write_html(make_folder(run)))
    clean = read(write_html(make_folder(make_run(["x", "e4m3/e4m3"]), name="clean")))
    assert page.tags.count("script") == clean.tags.count("script") == 1
    assert page.tags.count("img") == clean.tags.count("img") == 3
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "".join(page.text).count(ATTACK) >= 20


def test_text_that_is_no_unicode_does_not_stop_the_report(make_run: MakeRun, make_folder: MakeFolder) -> None:
    run = make_run(["e4m3/e4m3"])
    run["command"] = "fpsim simulate --policy \udcff.toml"
    assert "--policy ?.toml" in write_html(make_folder(run)).read_text(encoding="utf-8")


def test_what_the_run_says_is_on_the_page(make_run: MakeRun, make_folder: MakeFolder) -> None:
    run = make_run(["e4m3/e4m3", "int8/int8"])
    text = re.sub(r"\s+", " ", " ".join(read(write_html(make_folder(run))).text))
    for expected in (
        "fashion-28: 2 quantizations",
        "2,734,945",
        "DDIMScheduler",
        "0.42.1",
        "norms stay in full precision",
    ):
        assert expected in text
    for entry in run["rows"]:
        for expected in (entry["label"], entry["weights"], *(layer["name"] for layer in entry["layers"])):
            assert expected in text
    assert "All images, unselected" in text
    assert "30.5 to 32.5 dB over the images" in text


def test_the_command_can_be_copied_whole(make_run: MakeRun, make_folder: MakeFolder) -> None:
    run = make_run(["e4m3/e4m3"])
    run["command"] = "fpsim simulate --quant e4m3/e4m3 --prompts 'my  file--x.txt' --out a"
    html = write_html(make_folder(run)).read_text(encoding="utf-8")
    found = re.search(r"<pre>(.*?)</pre>", html, flags=re.DOTALL)
    assert found is not None
    assert "".join(Page(found.group(1)).text) == run["command"]


def test_special_values_are_signs_and_sort_as_numbers(make_run: MakeRun, make_folder: MakeFolder) -> None:
    run = make_run(["fp32/fp32"])
    run["rows"][0]["psnr_db"] = {"mean": math.inf, "per_image": [math.inf] * 16}
    for layer, value in zip(run["rows"][0]["layers"], [math.inf, -math.inf, math.nan, None, -3.25], strict=True):
        layer["output_sqnr_db"] = value
    html = write_html(make_folder(run)).read_text(encoding="utf-8")
    cells = re.findall(r'data-v="([^"]*)">([^<]*)</td></tr>', html)
    assert cells == [("Infinity", "∞"), ("-Infinity", "−∞"), ("NaN", "NaN"), ("NaN", "–"), ("-3.25", "−3.2")]
    assert "PSNR ∞ dB" in html
    assert not re.search(r">\s*-?(inf|nan)\s*<", html)


def test_only_the_first_images_are_shown(make_run: MakeRun, make_folder: MakeFolder) -> None:
    page = read(write_html(make_folder(make_run(["e4m3/e4m3"], count=18), (32, 32, 3))))
    assert "The first 16 of 18 images" in " ".join(page.text)
    data = next(value for _, name, value in page.attributes if name == "src").split(",", 1)[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (16 * 128 + 15 * 4, 128)


def test_a_run_without_rows_is_a_page(make_run: MakeRun, make_folder: MakeFolder) -> None:
    assert "0 quantizations beside full precision" in " ".join(read(write_html(make_folder(make_run([])))).text)
