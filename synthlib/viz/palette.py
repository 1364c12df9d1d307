"""Colours and style that all figures and the book's pages share.

The seven series colours were searched for, hue by hue around those of Okabe and Ito (2008), so that
each stands out from its ground (contrast of 3:1 and more, WCAG 2.2, success criterion 1.4.11) and
each pair stays apart for readers with protanopia, deuteranopia and tritanopia (CIEDE2000 of 11 and
more under the simulation of Machado et al., 2009). `tests/test_viz.py` measures both.
"""

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap

SERIES = {
    "light": {
        "blue": "#0055c6",
        "orange": "#c53200",
        "green": "#018753",
        "purple": "#86006f",
        "sky": "#009bc7",
        "gold": "#b78800",
        "grey": "#60646b",
    },
    "dark": {
        "blue": "#3780f5",
        "orange": "#f56f03",
        "green": "#00b769",
        "purple": "#fe83cb",
        "sky": "#01dbff",
        "gold": "#fed100",
        "grey": "#8e9299",
    },
}

# The grounds are the page's own in the two modes of the theme.
ROLES = {
    "light": {"ground": "#ffffff", "ink": "#1f2328", "muted": "#59616b", "grid": "#e3e6ea"},
    "dark": {"ground": "#121212", "ink": "#e6e8eb", "muted": "#a2a9b3", "grid": "#2d3136"},
}

# From the ground outwards: a larger value has more ink in either mode.
SEQUENTIAL = {
    "light": ["#f3f7fd", "#a9c8f2", "#4d8fe0", "#0055c6", "#062a63"],
    "dark": ["#171c24", "#173a6b", "#2563c0", "#5aa2ff", "#d6e8ff"],
}
DIVERGING = {
    "light": ["#062a63", "#0055c6", "#9cc0ef", "#f5f5f5", "#f0ae93", "#c53200", "#631a00"],
    "dark": ["#b5d4ff", "#3780f5", "#1d3f75", "#1d1f22", "#74370b", "#f56f03", "#ffd3ae"],
}

#: Tell series apart without colour: one marker, one hatching and one dash pattern each.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "+++")
DASHES = ((), (6, 2), (2, 1.5), (7, 2, 1.5, 2), (4, 1.2), (1, 1.2), (9, 3))


def palette(mode="light"):
    """Colours by name.

    Parameters
    ----------
    mode : {"light", "dark"}
        The ground that the colours are for.

    Returns
    -------
    dict of str to str
        ``blue orange green purple sky gold grey`` in the order in which series take them, then
        ``ground ink muted grid``; each value is ``#rrggbb``.

    Raises
    ------
    ValueError
        Another mode.
    """
    if mode not in SERIES:
        raise ValueError(f"unknown mode {mode!r}: use 'light' or 'dark'")
    return SERIES[mode] | ROLES[mode]


def colormap(mode="light", *, diverging=False):
    """Colour scale for heatmaps: lightness alone orders the values of the sequential one."""
    palette(mode)
    anchors = (DIVERGING if diverging else SEQUENTIAL)[mode]
    return LinearSegmentedColormap.from_list("synthlib", anchors)


def style(mode="light"):
    """Settings of matplotlib (rcParams) for one mode; the ground is transparent in SVG and PNG."""
    colours = palette(mode)
    ink, muted = colours["ink"], colours["muted"]
    return {
        "figure.facecolor": colours["ground"],
        "savefig.facecolor": "auto",
        "axes.facecolor": "none",
        "axes.edgecolor": muted,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.labelsize": 9.5,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.prop_cycle": mpl.cycler(color=list(SERIES[mode].values())),
        "axes.formatter.use_mathtext": True,
        "axes.unicode_minus": True,
        "grid.color": colours["grid"],
        "grid.linewidth": 0.7,
        "text.color": ink,
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "mathtext.fontset": "dejavusans",
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "legend.title_fontsize": 9,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "patch.edgecolor": colours["ground"],
        "hatch.color": colours["ground"],
        "hatch.linewidth": 0.7,
        # A picture must be the same bytes whenever it is drawn from the same data.
        "svg.hashsalt": "synthlib",
        "svg.fonttype": "path",
    }


def use_style(mode="light"):
    """Give the matplotlib figures of this session the look of the book's figures."""
    mpl.rcParams.update(style(mode))
