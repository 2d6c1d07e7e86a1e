/**
 * What starts first in the bundle, and small: lets V8 take what it made of the program before (tools/bundle.mjs keeps it
 * beside the program), then starts the agent or the rest. See docs/adr/0010-start-and-memory.md.
 */
import { enableCompileCache } from "node:module";

// Where the folder is missing and cannot be made, everything is compiled as ever.
enableCompileCache({ directory: `${import.meta.dirname}/compile-cache`, portable: true });
await import(process.argv[2] === "agent" ? "./agent-main.ts" : "./main.ts");
