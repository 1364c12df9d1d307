"""Sphinx extension: the road of a triplet and the rooms of the package, drawn from the sources.

    ```{architecture}
    ```

sets one drawing in two widths (a phone gets the narrow one) and below it the rooms as a table, with
what each module says of itself. `rooms.py` reads both out of the syntax trees at build time.
"""

import ast
import html
import textwrap

import rooms
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from synthlib.viz.palette import palette

WIDTHS = {"wide": 720, "narrow": 340}
GAP, PAD, LINE, SIZE = 14, 10, 17, 13
LETTER = 0.56 * SIZE  # broader than the mean letter, so that no line leaves its box


class Drawing:
    """Boxes and arrows, collected as SVG; `wide` is the room there is."""

    def __init__(self, wide):
        self.wide, self.high, self.parts = wide, 0, []

    def text(self, x, y, words, kind="", anchor="start"):
        self.parts.append(
            f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">'
            f"{html.escape(words)}</text>"
        )

    def box(self, x, y, wide, high, kind):
        self.parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{wide:.0f}" height="{high:.0f}" rx="6" '
            f'class="{kind}"/>'
        )

    def arrow(self, x, y, dx, dy):
        """From (x, y) by (dx, dy), along an axis."""
        tip = {True: "l-6 -4v8z", False: "l-4 -6h8z"}[dx != 0]
        self.parts.append(
            f'<path class="line" d="M{x:.0f} {y:.0f}l{dx:.0f} {dy:.0f}"/>'
            f'<path class="tip" d="M{x + dx:.0f} {y + dy:.0f}{tip}"/>'
        )

    def turn(self, last, first):
        """From the last box of a row to the first of the next, below it."""
        from_x, to_x = (x + wide / 2 for x, _, wide, _ in (last, first))
        self.parts.append(
            f'<path class="line" d="M{from_x:.0f} {self.high:.0f}v{GAP / 2:.0f}H{to_x:.0f}"/>'
        )
        self.arrow(to_x, self.high + GAP / 2, 0, GAP - 1)
        self.high += 1.5 * GAP

    def lines(self, words, wide):
        return textwrap.wrap(words, max(8, int((wide - 2 * PAD) / LETTER)))

    def filled(self, x, y, wide, content, kind):
        """Lines of (class, words) that are wrapped, and the height that a box of them has."""
        wrapped = [(k, line) for k, words in content for line in self.lines(words, wide)]
        high = 2 * PAD + LINE * len(wrapped) - 4

        def place(as_high):
            self.box(x, y, wide, as_high, kind)
            for number, (k, line) in enumerate(wrapped):
                self.text(x + PAD, y + PAD + LINE * number + SIZE - 2, line, k)

        return high, place

    def row(self, contents, kind, columns=None):
        """Boxes side by side, equally high, as broad as `columns` allow; returns their places."""
        columns = columns or len(contents)
        wide = (self.wide - GAP * (columns - 1)) / columns
        spots = [n * (wide + GAP) for n in range(len(contents))]
        boxes = [
            self.filled(x, self.high, wide, content, kind)
            for x, content in zip(spots, contents, strict=True)
        ]
        high = max(h for h, _ in boxes)
        for _, place in boxes:
            place(high)
        top, self.high = self.high, self.high + high
        return [(x, top, wide, high) for x in spots]

    def svg(self, variant, alt):
        return (
            f'<svg class="sc-rooms sc-{variant}" viewBox="-1 -1 {self.wide + 2} '
            f'{self.high + 2:.0f}" role="img" aria-label="{html.escape(alt, quote=True)}">'
            f"{''.join(self.parts)}</svg>"
        )


def stages(sources):
    """Number, stage, address and helpers of each stretch of the road."""
    return [
        (number, stage, address, sources.helpers(address))
        for number, (stage, address) in enumerate(rooms.ROAD, start=1)
    ]


def draw(sources, variant):
    """The drawing in one width, as SVG."""
    drawing = Drawing(WIDTHS[variant])
    drawing.text(0, SIZE, "The road of a triplet", "head")
    drawing.high = 24
    road = stages(sources)
    columns = 3 if variant == "wide" else 1
    for start in range(0, len(road), columns):
        part = road[start : start + columns]
        places = drawing.row([road_box(*stage) for stage in part], "road", columns)
        for x, top, wide, high in places[:-1]:
            drawing.arrow(x + wide + 1, top + high / 2, GAP - 2, 0)
        if start + columns < len(road):
            drawing.turn(places[-1], places[0])
    drawing.high += GAP
    drawing.text(0, drawing.high + 24, "The rooms", "head")
    note = "A room imports only from rooms that stand below it. Numbers: where the road passes."
    for line in drawing.lines(note, drawing.wide):
        drawing.text(0, drawing.high + 42, line, "small")
        drawing.high += LINE
    drawing.high += 36
    passed = {}
    for number, _, address, helpers in road:
        for module in (address.rpartition(".")[0], *helpers):
            passed.setdefault(rooms.room_of(module), set()).add(number)
    for floor in rooms.floors(sources.rooms):
        for group in ([[room] for room in floor] if variant == "narrow" else [floor]):
            drawing.row([room_box(sources, room, passed.get(room, ())) for room in group], "room")
            drawing.high += GAP
    drawing.high -= GAP
    return drawing.svg(variant, alt(sources))


def road_box(number, stage, address, helpers):
    through = f"with {', '.join(helpers)}" if helpers else ""
    return [("name", f"{number} {stage}"), ("", address), ("small", through)]


def room_box(sources, room, numbers):
    below = ", ".join(r for r in rooms.ROOMS if r in sources.rooms[room]) or "no other room"
    mark = f"  ({' '.join(map(str, sorted(numbers)))})" if numbers else ""
    return [
        ("name", f"{room}{mark}"),
        ("", rooms.ROOMS[room][0]),
        ("small", f"imports: {below}"),
    ]


def alt(sources):
    """The drawing in words."""
    road = "; ".join(f"{n} {stage}: {address}" for n, stage, address, _ in stages(sources))
    floors = "; ".join(" and ".join(floor) for floor in rooms.floors(sources.rooms))
    return f"The road of a triplet: {road}. The rooms, from the top floor down: {floors}."


def style():
    """The palette's colours in both modes, and which width is shown."""
    rules = []
    for mode, where in (("light", ""), ("dark", 'html[data-theme="dark"] ')):
        c = palette(mode)
        rules.append(
            f"{where}.sc-rooms{{--ink:{c['ink']};--muted:{c['muted']};--grid:{c['grid']};"
            f"--road:{c['blue']};--ground:{c['ground']}}}"
        )
    return (
        f"<style>{''.join(rules)}"
        ".sc-rooms{width:100%;height:auto;margin:.5rem 0 1.2rem}"
        f".sc-rooms text{{font-size:{SIZE}px;fill:var(--ink)}}"
        ".sc-rooms .head,.sc-rooms .name{font-weight:600}.sc-rooms .small{fill:var(--muted)}"
        ".sc-rooms rect{fill:var(--ground);stroke:var(--muted)}"
        ".sc-rooms rect.road{stroke:var(--road);stroke-width:2}"
        ".sc-rooms .line{stroke:var(--road);stroke-width:2;fill:none}"
        ".sc-rooms .tip{fill:var(--road)}"
        ".sc-narrow{display:none}"
        "@media screen and (max-width:540px){.sc-wide{display:none}.sc-narrow{display:block}}"
        "</style>"
    )


def table(sources):
    """The rooms with their modules, as lines of Markdown."""
    lines = ["| room | module | what it says of itself |", "|---|---|---|"]
    for room in rooms.ROOMS:
        for module in sources.members(room):
            said = (ast.get_docstring(sources.trees[module]) or "").partition("\n\n")[0]
            said = " ".join(said.split()).replace("|", "\\|")
            lines.append(f"| {room} | `{module}` | {said} |")
    return lines


class Architecture(SphinxDirective):
    """The drawing, and the rooms' modules below it."""

    def run(self):
        # The sources are not the page's: it is read anew in each build.
        self.env.note_reread()
        sources = rooms.Sources()
        pictures = "".join(draw(sources, variant) for variant in WIDTHS)
        drawing = nodes.raw("", f"{style()}<div>{pictures}</div>", format="html")
        container = nodes.container()
        self.state.nested_parse(StringList(table(sources), ""), self.content_offset, container)
        return [drawing, *container.children]


def setup(app):
    """Register the directive."""
    app.add_directive("architecture", Architecture)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
