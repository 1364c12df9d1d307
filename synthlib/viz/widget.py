"""A living figure in a notebook: the script of the pages as an anywidget, its state both ways."""

import functools
import os
import sys

from synthlib.viz import script

#: Set to "page" where a notebook is executed for the book: its pages hold living figures anyway.
VARIABLE = "SYNTHLIB_FIGURES"

_RENDER = """
export default {
  render({ model, el }) {
    const handle = SC.mount(el, model.get("data"), {
      state: model.get("state"),
      onstate(state) { model.set("state", state); model.save_changes(); },
    });
    const follow = () => handle.set(model.get("state"));
    model.on("change:state", follow);
    return () => { model.off("change:state", follow); handle.remove(); };
  },
};
"""


def wanted():
    """Whether figures show themselves as widgets here: a notebook, and not the book's build."""
    if os.environ.get(VARIABLE) == "page" or "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None


@functools.cache
def widget_class():
    """Class of the widgets; made when first needed, because anywidget is slow to import.

    Raises
    ------
    ImportError
        anywidget is not installed.
    """
    import anywidget
    import traitlets

    class LivingFigure(anywidget.AnyWidget):
        """A figure whose controls' state is `state`, in step with the page's script.

        Attributes
        ----------
        state : dict
            Values of the controls by name, and what else the figure remembers; assign a new dict
            to change the figure.
        data : dict
            As `Figure.payload` gives it; sent once.
        """

        _esm = script.script() + _RENDER
        _css = script.css()
        data = traitlets.Dict().tag(sync=True)
        state = traitlets.Dict().tag(sync=True)

        def __repr__(self):
            return f"<LivingFigure {self.data.get('label') or ''}: {self.data.get('alt')}>"

    return LivingFigure


@functools.cache
def allow_in_colab():
    """Let Colab show widgets that are not its own."""
    if "google.colab" in sys.modules:
        from google.colab import output

        output.enable_custom_widget_manager()
