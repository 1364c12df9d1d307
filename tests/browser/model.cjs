// Runs a function of scripts of the book in Node: {"scripts": [PATH], "code": "(SC, data) => …", "data": …} on
// standard input, the function's value as JSON on standard output. NaN and infinities become text.
const fs = require("fs");
const vm = require("vm");

const job = JSON.parse(fs.readFileSync(0, "utf8"));
globalThis.SC = { explorers: {}, text: String };
for (const path of job.scripts) vm.runInThisContext(fs.readFileSync(path, "utf8"), { filename: path });
Promise.resolve(vm.runInThisContext(`(${job.code})`)(globalThis.SC, job.data)).then(
  (value) => process.stdout.write(JSON.stringify(value, (_, v) => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v))),
  (error) => { console.error(error); process.exit(1); },
);
