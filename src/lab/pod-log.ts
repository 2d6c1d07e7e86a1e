/** Output of a pod's containers: written by its kubelet, read by `kubectl logs`. */
import { createReadStream, existsSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { LabPaths } from "./paths.ts";

export function podLogFile(folder: string, namespace: string, name: string): string {
  return join(folder, `${namespace}_${name}.log`);
}

/** Undefined when the pod has printed nothing. */
export function podLogStream({ logs }: LabPaths, namespace: string, name: string): ReadableStream | undefined {
  const file = podLogFile(join(logs, "pods"), namespace, name);
  return existsSync(file) ? (Readable.toWeb(createReadStream(file)) as ReadableStream) : undefined;
}
