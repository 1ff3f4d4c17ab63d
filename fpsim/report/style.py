"""The look of the HTML report: one style sheet for light and dark, and the script that sorts a table."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --ink: #1d2127; --soft: #5b6470; --line: #d9dde3; --paper: #ffffff;
  --panel: #f5f6f8; --accent: #0b62a4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #9aa4b0; --line: #353b44; --paper: #15181d;
  --panel: #1e2229; --accent: #6cb6f0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 1160px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .4rem; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; font-weight: 650; }
p { margin: .4rem 0; max-width: 76ch; overflow-wrap: anywhere; }
.eyebrow { color: var(--soft); font-size: .85rem; margin: 0 0 .3rem; }
.note { color: var(--soft); font-size: .87rem; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .85em; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem;
  margin: .5rem 0; white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; }
pre span { display: inline-block; max-width: 100%; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: .9rem;
  margin: 1.2rem 0; }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem; }
.card h3 { margin: 0 0 .35rem; font-size: .95rem; font-weight: 650; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: 0; font-size: .87rem; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.scroll { overflow: auto; }
.tall { max-height: 85vh; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); vertical-align: bottom; }
th, td { padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line); }
td { vertical-align: top; }
.number { text-align: right; }
td.number { white-space: nowrap; }
.summary td { font-size: .95rem; }
.summary td:first-child { min-width: 15rem; overflow-wrap: anywhere; }
.summary small { display: block; color: var(--soft); font-size: .8rem; line-height: 1.4; }
.cost tbody th { color: var(--ink); vertical-align: top; overflow-wrap: anywhere; min-width: 8rem; }
.layers td { white-space: nowrap; padding-top: .2rem; padding-bottom: .2rem; }
.layers thead th { position: sticky; top: 0; background: var(--paper); }
th button { all: unset; cursor: pointer; }
th button:hover, th button:focus-visible { color: var(--accent); text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " ↑"; }
th[aria-sort=descending] button::after { content: " ↓"; }
.strips { display: grid; gap: .9rem; }
.strip figcaption { position: sticky; left: 0; width: fit-content; max-width: calc(100vw - 2.5rem); font-size: .87rem;
  color: var(--soft); overflow-wrap: anywhere; }
.strip figcaption b { color: var(--ink); font-weight: 600; }
figure { margin: 0; }
.strip img { display: block; max-width: 100%; height: auto; }
.plot svg { display: block; width: 100%; min-width: 640px; max-width: 900px; height: auto; }
.plot svg text { font-family: inherit !important; }
details { border-top: 1px solid var(--line); padding: .55rem 0; }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; overflow-wrap: anywhere; }
summary b { font-weight: 600; }
summary span { color: var(--soft); font-size: .87rem; }
details > :not(summary) { margin-top: .7rem; margin-bottom: .7rem; }
details.plain { border: 0; padding: 0; }
@media (max-width: 640px) { main { padding: 1.2rem 1rem 3rem; } h1 { font-size: 1.4rem; }
  .summary td:first-child { min-width: 11rem; } }
@media print { .tall { max-height: none; } }
"""

# Numbers sort by `data-v` ("Infinity" is a number to the script), words by their text, gaps always last.
JS = """
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const th = button.parentElement, body = th.closest("table").tBodies[0], at = th.cellIndex;
  const up = th.getAttribute("aria-sort") !== "ascending";
  for (const other of th.parentElement.cells) other.removeAttribute("aria-sort");
  th.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = (row) => { const cell = row.cells[at];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v); };
  const gap = (x) => typeof x === "number" && Number.isNaN(x);
  const compare = (a, b) => gap(a) || gap(b) ? gap(a) - gap(b)
    : (up ? 1 : -1) * (typeof a === "number" ? (a > b) - (a < b) : a.localeCompare(b));
  body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
});
"""
