"""A living figure in a notebook: the script of the pages as an anywidget, its state both ways."""

import functools
import os
import sys

from synthlib.viz import page_model, script

#: Set to "page" where a notebook is executed for the book: its pages hold living figures anyway.
VARIABLE = "SYNTHLIB_FIGURES"

_RENDER = """
export default {
  render({ model, el }) {
    // Beside a notebook lies no file: a figure that runs a model asks the kernel for its weights.
    SC.ask = (name) => new Promise((resolve, reject) => {
      const got = (message) => {
        if (!message || message.model !== name) return;
        model.off("msg:custom", got);
        resolve(message.payload);
      };
      model.on("msg:custom", got);
      model.send({ model: name });
      setTimeout(() => reject(new Error("no kernel answers")), 30000);
    });
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


def _answer(widget, content, buffers):
    """Send the weights of a model that the page's script asks for."""
    name = content.get("model") if isinstance(content, dict) else None
    if isinstance(name, str) and name in page_model.NAMES:
        widget.send({"model": name, "payload": page_model.payload(name)})


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

        def __init__(self, **values):
            super().__init__(**values)
            self.on_msg(_answer)

        def __repr__(self):
            return f"<LivingFigure {self.data.get('label') or ''}: {self.data.get('alt')}>"

    return LivingFigure


@functools.cache
def allow_in_colab():
    """Let Colab show widgets that are not its own."""
    if "google.colab" in sys.modules:
        from google.colab import output

        output.enable_custom_widget_manager()
