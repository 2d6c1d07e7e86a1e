/**
 * Bundles the program with esbuild: tools/bundle.mjs OUTPUT. OUTPUT starts one of the files that are put beside it
 * (src/cli/launch.ts); the agent has one of its own, because a node carries it for months. See
 * docs/adr/0010-start-and-memory.md.
 */
import { spawnSync } from "node:child_process";
import { renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const [output = "build/breakwater.mjs"] = process.argv.slice(2);
const folder = dirname(output);
const require = createRequire(import.meta.url);

/** Files beside the launcher, by what is imported (all of it dynamically), and what is in them. */
const parts = {
  "./main.ts": { file: "breakwater-main.mjs", contents: 'import "./src/cli/main.ts";' },
  "./agent-main.ts": { file: "breakwater-agent.mjs", contents: 'import "./src/cli/agent-main.ts";' },
  // An agent in a pod has no kubeconfig to read.
  yaml: { file: "breakwater-yaml.mjs", contents: 'export { parse, parseAllDocuments, stringify } from "yaml";' },
};

const siblings = {
  name: "siblings",
  setup({ onResolve }) {
    onResolve({ filter: /./ }, ({ path, kind }) => {
      const part = kind === "dynamic-import" && Object.hasOwn(parts, path) ? parts[path] : undefined;
      return part && { path: `./${part.file}`, external: true };
    });
  },
};

/**
 * An `import` of one of Node's modules makes all its exports, also those that are made when somebody looks: undici behind
 * node:http, readline, worker threads and streams behind node:util and node:fs. That is 30 ms and 3 MB. Asked for by
 * name they cost what they are.
 */
const nodeModules = {
  name: "node-modules",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, kind }) => {
      return kind === "import-statement" ? { path, namespace: "node-module", sideEffects: false } : undefined;
    });
    onLoad({ filter: /.*/, namespace: "node-module" }, ({ path }) => {
      const names = Object.keys(Object.getOwnPropertyDescriptors(require(path))).filter(isIdentifier);
      const exports = names.map((name, i) => `const export${i} = /* @__PURE__ */ pick("${name}");`);
      const list = names.map((name, i) => `export${i} as ${name}`).join(", ");
      const head = [`const whole = process.getBuiltinModule("${path}");`, "const pick = (name) => whole[name];"];
      return { contents: [...head, "export default whole;", ...exports, `export { ${list} };`].join("\n") };
    });
    // A native addon cannot be bundled; it ships in node_modules. As CommonJS, for the same reason.
    onResolve({ filter: /^koffi$/ }, ({ path }) => ({ path, namespace: "addon" }));
    onLoad({ filter: /.*/, namespace: "addon" }, ({ path }) => {
      return { contents: `export default outsideRequire("${path}");` };
    });
  },
};

function isIdentifier(name) {
  return /^[A-Za-z_$][\w$]*$/.test(name) && name !== "default";
}

/** Needed for what nobody here asks for (prom-client's exemplars): loaded when somebody does. It takes 10 ms. */
const SELDOM = /^@opentelemetry\/api$/;
const seldom = {
  name: "seldom",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: SELDOM }, ({ path, namespace, resolveDir }) => {
      return namespace === "seldom" ? undefined : { path, namespace: "seldom", pluginData: resolveDir };
    });
    onLoad({ filter: /.*/, namespace: "seldom" }, ({ path, pluginData }) => ({
      contents: `module.exports = new Proxy({}, { get: (_, name) => require("${path}")[name] });`,
      resolveDir: pluginData,
    }));
  },
};

const common = {
  bundle: true,
  plugins: [siblings, nodeModules, seldom],
  platform: "node",
  format: "esm",
  target: "node24",
  // Names stay: in the stack of an error they are worth more than the bytes. esbuild's keepNames sets each at run time.
  minifySyntax: true,
  minifyWhitespace: true,
  banner: {
    js: 'const outsideRequire = process.getBuiltinModule("node:module").createRequire(import.meta.url), require = outsideRequire;',
  },
  legalComments: "none",
  logLevel: "warning",
};

const files = [];

async function bundle(contents, file) {
  const outfile = `${file}.${process.pid}`;
  files.push([outfile, file]);
  await build({ ...common, stdin: { contents, resolveDir: "." }, outfile });
}

try {
  for (const { contents, file } of Object.values(parts)) await bundle(contents, join(folder, file));
  await bundle('import "./src/cli/launch.ts";', output);
  // A process that starts meanwhile gets each old or new, and whole. The launcher is last: it says that all are there.
  for (const [from, to] of files) renameSync(from, to);
} finally {
  for (const [from] of files) rmSync(from, { force: true });
}

// What V8 makes of the source is kept beside it: whoever starts first would do it for those behind him.
for (const words of [["--help"], ["agent", "--help"]]) spawnSync(process.execPath, [output, ...words]);
