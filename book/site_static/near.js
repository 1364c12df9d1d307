// Brings scripts and style of living figures when the first figure of the page comes near, and not before: `data-files`
// of this script's own element names them, in their order. Plain script: a page opened as a file loads neither modules nor data.
(function () {
  "use strict";
  const own = document.currentScript, folder = own.src.replace(/[^/]*$/, "");
  const places = document.querySelectorAll("[data-sc-figure]");
  const NEAR = "400px 0px";
  let begun = null;

  function load(name) {
    return new Promise((done, fail) => {
      const style = /\.css\b/.test(name), node = document.createElement(style ? "link" : "script");
      if (style) { node.rel = "stylesheet"; node.href = folder + name; }
      else { node.src = folder + name; node.async = false; } // in their order
      node.onload = done;
      node.onerror = () => fail(new Error(`${name} is absent`));
      document.head.append(node);
    });
  }
  // What fails leaves the pictures, which are there without any script.
  function begin() {
    const files = own.dataset.files.split(" ");
    begun = begun || Promise.all(files.map(load)).then(() => SC.page(), (error) => console.warn("figures", error));
    return begun;
  }

  if (typeof IntersectionObserver === "undefined") { begin(); return; }
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    begin();
  }, { rootMargin: NEAR });
  places.forEach((place) => watch.observe(place));
  // For who cannot wait until a figure comes near: all of them, now.
  window.SC_WAKE = () => begin().then(() => window.SC && SC.wake && SC.wake());
})();
