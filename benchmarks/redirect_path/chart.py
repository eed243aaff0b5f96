"""The figures as a picture: horizontal bars of CPU microseconds for each request, in SVG.

It brings its own background in a light and a dark form, so that it can be read on any page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.redirect_path.figures import Results
from benchmarks.redirect_path.rows import BEHIND_PROXY, EDGE, FRESH, TWO_WORKERS, Row

WIDTH, MARGIN, LABEL_WIDTH, NUMBER_WIDTH = 760, 20, 230, 70
BAR, GAP, HEADING = 16, 8, 34
BARS_AT, BARS_WIDTH = MARGIN + LABEL_WIDTH, WIDTH - 2 * MARGIN - LABEL_WIDTH - NUMBER_WIDTH
TITLE = "CPU for each redirect, in microseconds (less is better)"
LONGEST = 3.0  # bars longer than this many times the median bar are cut

OURS = (EDGE, BEHIND_PROXY, TWO_WORKERS, FRESH)
_LABELS = {EDGE: "Scanhop", BEHIND_PROXY: "Scanhop", FRESH: "Scanhop", TWO_WORKERS: "Scanhop, two workers"}
_STYLE = """
.card{fill:#ffffff;stroke:#d0d7de}.text{fill:#1f2328}.soft{fill:#59636e}.ours{fill:#0b7285}.peer{fill:#aab4bf}.cut{stroke:#ffffff}
@media(prefers-color-scheme:dark){.card{fill:#161b22;stroke:#30363d}.text{fill:#e6edf3}.soft{fill:#9198a1}
.ours{fill:#3bc9db}.peer{fill:#57606a}.cut{stroke:#161b22}}
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif}
.head{font-weight:600}.title{font-size:15px;font-weight:600}
"""


@dataclass(frozen=True)
class _Bar:
    label: str
    value: float
    is_ours: bool


def draw_chart(rows: Sequence[Row], results: Results) -> str:
    groups = list(_groups(rows, results))
    values = sorted(bar.value for _, bars in groups for bar in bars)
    top = min(values[-1], LONGEST * values[len(values) // 2]) if values else 1.0
    parts, y = [_text(MARGIN, 32, TITLE, "text title")], 44
    for heading, bars in groups:
        parts.append(_text(MARGIN, y + 22, heading, "text head"))
        y += HEADING
        for bar in bars:
            parts.append(_draw_bar(bar, y, top))
            y += BAR + GAP
    height = y + MARGIN // 2
    frame = f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    head += f' role="img" aria-label="{escape(TITLE)}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", frame, *parts, "</svg>", ""])


def _groups(rows: Sequence[Row], results: Results) -> Iterator[tuple[str, list[_Bar]]]:
    """Rows of the same requests are one group; those that are the edge's alone are the last one."""
    by_scenario: dict[str, tuple[str, list[_Bar]]] = {}
    alone: list[_Bar] = []
    for row in rows:
        for wanted in row.measurements:
            value = results.median_cpu(wanted)
            if value is None:
                continue
            if _is_alone(row):
                alone.append(_Bar(row.label(wanted), value, True))
            else:
                _, bars = by_scenario.setdefault(wanted[0], (row.name, []))
                bar = _Bar(_LABELS.get(wanted[1], wanted[1]), value, wanted[1] in OURS)
                if bar not in bars:
                    bars.append(bar)
    yield from by_scenario.values()
    if alone:
        yield "Scanhop, other requests", alone


def _is_alone(row: Row) -> bool:
    return row.number not in {1, 9, 10} and all(contender in OURS for _, contender in row.measurements)


def _draw_bar(bar: _Bar, y: int, top: float) -> str:
    width = BARS_WIDTH * min(bar.value / top, 1.0)
    colour = "ours" if bar.is_ours else "peer"
    parts = [
        _text(MARGIN, y + BAR - 3, bar.label, "text"),
        f'<rect class="{colour}" x="{BARS_AT}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" rx="3"/>',
    ]
    if bar.value > top:
        at = BARS_AT + width - 26
        parts.append(f'<path class="cut" d="M{at:.0f} {y + BAR + 2}l8 -{BAR + 4}" stroke-width="5"/>')
    number = f"{bar.value:.1f}" if bar.value < 100 else f"{bar.value:.0f}"
    parts.append(_text(int(BARS_AT + width + 8), y + BAR - 3, number, "soft"))
    return "".join(parts)


def _text(x: int, y: int, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x}" y="{y}">{escape(text)}</text>'
