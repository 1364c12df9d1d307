"""Where things stand in a static drawing: lines of text, boxes, corners, entries of a legend."""

import textwrap


def wrap(text, width):
    """A text in lines of so many letters, at least four; no word is broken."""
    text = text.replace(" %", "\u00a0%")  # a number keeps its unit
    return "\n".join(textwrap.wrap(text, max(4, width), break_long_words=False)) or " "


def layers(edges):
    """Column of each box of a flow chart: one more than that of its furthest source.

    Parameters
    ----------
    edges : sequence of (source, target)

    Returns
    -------
    depth : dict of node to int
    forward : list of edges
        Without those that close a loop, which move no box.
    """
    nodes = list(dict.fromkeys(name for edge in edges for name in edge))
    depth, forward = dict.fromkeys(nodes, 0), []
    for a, b in edges:
        reach, todo = set(), [b]
        while todo:
            node = todo.pop()
            reach.add(node)
            todo += [t for s, t in forward if s == node and t not in reach]
        if a not in reach:
            forward.append((a, b))
    for _ in nodes:
        for a, b in forward:
            depth[b] = max(depth[b], depth[a] + 1)
    return depth, forward


def clip(corners, halves):
    """Corners of what a convex polygon shares with half-planes p·x + q·y ≥ r.

    Parameters
    ----------
    corners : sequence of (x, y)
        In turn.
    halves : sequence of (p, q, r)

    Returns
    -------
    list of (x, y)
        Empty where nothing is shared.
    """
    for p, q, r in halves:
        inside = [p * x + q * y - r for x, y in corners]
        kept = []
        for i, ((x, y), here) in enumerate(zip(corners, inside, strict=True)):
            (x0, y0), before = corners[i - 1], inside[i - 1]
            if (here >= 0) != (before >= 0):
                share = before / (before - here)
                kept.append((x0 + share * (x - x0), y0 + share * (y - y0)))
            if here >= 0:
                kept.append((x, y))
        corners = kept
    return corners


def by_rows(handles, columns):
    """Handles in the order that makes a legend, which fills columns, read along its rows."""
    return [handle for column in range(columns) for handle in handles[column::columns]]
