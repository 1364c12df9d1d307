"""The one script and style sheet of living figures, and a page of one figure by itself.

The scripts are plain and classic: a page opened as a file may load neither modules nor data. They
are joined here, for the book's pages, for pages of one figure and for notebooks (`_esm`).
"""

import base64
import functools
import html
import json
import re
from pathlib import Path

from synthlib.viz.palette import DASHES, DIVERGING, MARKERS, SEQUENTIAL, SERIES, palette

FOLDER = Path(__file__).resolve().parent / "js"
_EXPLORER = re.compile(r"^\s*SC\.explorers\.([A-Za-z_]\w*)\s*=", re.MULTILINE)


def sources():
    """Paths of the scripts in the order in which they are joined."""
    first = [FOLDER / "core.js", FOLDER / "kinds.js"]
    others = [p for p in sorted(FOLDER.glob("*.js")) if p not in first]
    return [*first, *others, *sorted((FOLDER / "explorers").glob("*.js"))]


def _key():
    """What changes when a script is edited, so that nothing old is kept."""
    return tuple((str(path), path.stat().st_mtime_ns) for path in sources())


@functools.lru_cache(maxsize=2)
def _joined(key):
    parts = [Path(path).read_text(encoding="utf-8") for path, _ in key]
    parts.insert(1, f"SC.tokens = {json.dumps(_tokens())};\n")
    return "\n".join(parts)


def _tokens():
    return {
        "light": palette("light"),
        "dark": palette("dark"),
        "names": list(SERIES["light"]),
        "markers": MARKERS,
        "dashes": [[2 * length for length in dashes] for dashes in DASHES],
        "sequential": SEQUENTIAL,
        "diverging": DIVERGING,
    }


def script():
    """All scripts joined: a classic script that defines ``SC``."""
    return _joined(_key())


def explorers():
    """Names of the explorers that the scripts register."""
    return sorted(set(_EXPLORER.findall(script())))


def css():
    """The style sheet of living figures with the palette's tokens in both modes."""
    rules = []
    for selector, mode in ((".sc-living", "light"), (".sc-living.sc-dark", "dark")):
        tokens = "; ".join(f"--sc-{name}: {colour}" for name, colour in palette(mode).items())
        rules.append(f"{selector} {{ {tokens}; color-scheme: {mode}; }}")
    sheets = sorted(FOLDER.glob("*.css"), key=lambda path: (path.stem != "living", path.stem))
    return "\n".join([*rules, *(sheet.read_text(encoding="utf-8") for sheet in sheets)])


def embedded(value):
    """JSON that may stand inside a script element: no text of it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


_PAGE = """<!doctype html>
<html lang="{language}" data-sc-page>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ margin: 1.5rem auto; padding: 0 1rem; max-width: 47rem; color: #1f2328; background: #ffffff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", Arial, sans-serif; }}
figure {{ margin: 0; }}
figcaption {{ margin-top: 0.6rem; font-size: 0.92em; }}
.sc-plate img {{ width: 100%; height: auto; }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e6e8eb; background: #121212; }} }}
{css}
</style>
</head>
<body>
<figure>
<div class="sc-plate"><picture><source media="print" srcset="{light}">
<source media="(prefers-color-scheme: dark)" srcset="{dark}">
<img src="{light}" alt="{alt}"></picture></div>
<div data-sc-figure><script type="application/json">{payload}</script></div>
{caption}
</figure>
<noscript><p>{without}</p></noscript>
<script>
{script}
SC.page();
</script>
</body>
</html>
"""


_LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "eta": "η",
    "theta": "θ", "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ",
    "phi": "φ", "omega": "ω", "Omega": "Ω", "ell": "ℓ", "cdot": "·", "times": "×", "pm": "±",
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "approx": "≈", "to": "→", "rightarrow": "→",
}  # fmt: skip
_SMALL = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def _formula(found):
    """The letters of a short formula: ``\\omega=0.3`` becomes ω = 0.3."""
    text = re.sub(r"\\(?:mathrm|text|mathbf|mathcal)\{([^}]*)\}", r"\1", found[1])
    text = re.sub(r"\\([A-Za-z]+)\s*", lambda word: _LETTERS.get(word[1], word[1]), text)
    text = re.sub(r"_\{?(\d+)\}?", lambda digits: digits[1].translate(_SMALL), text)
    text = text.replace("^+", "⁺").replace("^-", "⁻").replace("-", "−")
    text = re.sub(r"(?<=\S)\s*([=<>≤≥≈])\s*(?=\S)", r" \1 ", text)
    return re.sub(r"\\[,;! ]|[{}]", "", text)


def plain(caption):
    """A caption's words without MyST's marks, for a page that has no renderer of them."""
    text = re.sub(r"\{eq\}`[^`]+`", "the equation", caption)
    text = re.sub(r"\{[\w:-]+\}`([^`<]+?)(?:\s*<[^>`]*>)?`", r"\1", text)
    text = re.sub(r"\$([^$]+)\$", _formula, text)
    text = re.sub(r"`([^`]+)`", r"\1", text)
    return re.sub(r"(?<![\w*])\*{1,2}([^\s*](?:[^*]*[^\s*])?)\*{1,2}(?![\w*])", r"\1", text)


def page(payload, light, dark, language="en"):
    """A page of one living figure that needs nothing else: no network, no other file.

    Parameters
    ----------
    payload : dict
        As `Figure.payload` gives it.
    light, dark : str
        The static picture as SVG, for readers without JavaScript and for paper.
    language : str
        Of its words, as HTML names it.

    Returns
    -------
    str
    """

    def address(svg):
        return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()

    caption = payload["caption"]
    without = "Without JavaScript this figure is a picture."
    return _PAGE.format(
        language=html.escape(language, quote=True),
        without=html.escape(payload.get("words", {}).get(without, without)),
        title=html.escape(payload["label"] or "figure"),
        css=css(),
        light=address(light),
        dark=address(dark),
        alt=html.escape(payload["alt"], quote=True),
        payload=embedded(payload),
        caption=f"<figcaption>{html.escape(plain(caption))}</figcaption>" if caption else "",
        # The words that end a script element stand in no source; a test looks.
        script=script(),
    )
