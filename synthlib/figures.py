"""The command ``figures``: the book's figures, and figures of data that are yours.

Those that need a method to be run on a reader's own sentences join here: `viz` knows no method.
"""

from synthlib.viz import gallery


def main(argv=None):
    """Command line; returns the exit status."""
    return gallery.main(argv, {"omega": _omega})


def _omega(options, say):
    from synthlib.experiments import steering
    from synthlib.runs import named

    return steering.of_options(options, named.fingerprint, say)
