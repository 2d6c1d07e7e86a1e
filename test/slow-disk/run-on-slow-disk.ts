/**
 * run-on-slow-disk.ts FOLDER TARGET DELAY_MS CMD...: runs CMD with TARGET mounted as a file system over FOLDER whose syncs
 * take that long. Each line on standard input is a new delay. Ends with CMD; CMD ends with it.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { SlowFileSystem } from "./slow-file-system.ts";

const [folder = "", target = "", delay = "0", command = "", ...args] = process.argv.slice(2);
const fileSystem = new SlowFileSystem(folder, target, Number(delay));
const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });
const input = createInterface({ input: process.stdin });
input.on("line", (line) => {
  fileSystem.delayMs = Number(line);
});
// Whoever started this is gone.
input.on("close", () => child.kill("SIGKILL"));
process.on("SIGTERM", () => child.kill("SIGKILL"));
child.on("exit", (code) => process.exit(code ?? 1));
