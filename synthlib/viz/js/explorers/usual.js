/* A figure of a usual kind in the page (options.spec, with the controls) whose static picture is
   another one: one frame with a control to play in the page, several frames side by side on paper.
   options.says names a table whose column "said" tells, for the controls' values, what is shown. */
"use strict";

(() => {
  const inner = (view) => {
    const { spec } = view.options, kind = spec && SC.kinds[spec.kind];
    if (!kind) throw new Error(`options.spec describes a figure of a usual kind, given ${SC.text(JSON.stringify(spec))}`);
    return [kind, Object.create(view, { spec: { value: spec } })];
  };
  SC.explorers.usual = {
    draw(view) { const [kind, own] = inner(view); kind.draw(own); },
    describe(view) {
      const { says } = view.options;
      if (says) return view.table(says).rows.map((r) => r.said).join(" ");
      const [kind, own] = inner(view);
      return kind.describe(own);
    },
  };
})();
