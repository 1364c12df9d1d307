"""A living figure in a notebook: the script of the pages as an anywidget, its state both ways."""

import functools
import os
import sys

from synthlib.viz import page_model, script

#: Set to "page" where a notebook is executed for the book: its pages hold living figures anyway.
VARIABLE = "SYNTHLIB_FIGURES"

RENDER = """
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
    let following = false; // what Python has set is not sent back: it may have set more since
    const handle = SC.mount(el, model.get("data"), {
      state: model.get("state"),
      onstate(state) {
        if (following) return;
        model.set("state", state);
        model.save_changes();
      },
    });
    el.classList.add("sc-notebook");
    const caption = document.createElement("p");
    caption.className = "sc-caption";
    caption.textContent = model.get("data").caption || "";
    if (caption.textContent) el.append(caption);
    const follow = () => {
      following = true;
      handle.set(model.get("state"));
      following = false;
    };
    model.on("change:state", follow);
    // JupyterLab's shortcuts take keys (arrows, Enter, letters) before a figure gets them, unless
    // the element that has the focus is marked. With Ctrl, Alt or Cmd they stay JupyterLab's, and
    // so does Shift+Enter, which runs the cell.
    const keys = (event) => {
      if (!el.contains(event.target)) return;
      const runs = event.shiftKey && event.key === "Enter";
      const own = !(event.ctrlKey || event.altKey || event.metaKey || runs);
      event.target.toggleAttribute("data-lm-suppress-shortcuts", own);
    };
    window.addEventListener("keydown", keys, true);
    return () => {
      window.removeEventListener("keydown", keys, true);
      model.off("change:state", follow);
      handle.remove();
      caption.remove();
    };
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
            As `Figure.payload` gives it, the caption in plain words; sent once.
        """

        _esm = script.script() + RENDER
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
