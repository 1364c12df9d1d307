/* A figure of a usual kind in the page (options.spec, with the controls) whose static picture is
   another one: one frame with a control to play in the page, several frames side by side on paper. */
"use strict";

(() => {
  const inner = (view) => {
    const { spec } = view.options, kind = spec && SC.kinds[spec.kind];
    if (!kind) throw new Error(`options.spec describes a figure of a usual kind, given ${SC.text(JSON.stringify(spec))}`);
    return [kind, Object.create(view, { spec: { value: spec } })];
  };
  SC.explorers.usual = {
    draw(view) { const [kind, own] = inner(view); kind.draw(own); },
    describe(view) { const [kind, own] = inner(view); return kind.describe(own); },
  };
})();
