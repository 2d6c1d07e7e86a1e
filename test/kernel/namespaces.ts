/** Network namespaces for tests: made under a folder of their own and removed whatever the test does. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { createNamespace, deleteNamespace, inNamespaceAt } from "../../src/kernel/netns.ts";
import { openRouteTable } from "../../src/kernel/rtnetlink/route-socket.ts";
import type { RouteTable } from "../../src/kernel/rtnetlink/types.ts";

export interface TestNamespace {
  readonly path: string;
  readonly routes: RouteTable;
  /** Runs synchronous code inside. */
  run<T>(body: () => T): T;
}

/** A new namespace with its loopback up, gone when the test ends. */
export function testNamespace(t: TestContext, name = "ns"): TestNamespace {
  const folder = fs.mkdtempSync(join(tmpdir(), "breakwater-test-"));
  const path = join(folder, name);
  createNamespace(path);
  const routes = inNamespaceAt(path, () => openRouteTable());
  t.after(() => {
    routes.close();
    deleteNamespace(path);
    fs.rmSync(folder, { recursive: true });
  });
  const loopback = routes.link("lo");
  if (loopback !== undefined) routes.changeLink(loopback.index, { up: true });
  return { path, routes, run: (body) => inNamespaceAt(path, body) };
}

/** The link of that name. @throws when there is none */
export function linkOf(namespace: TestNamespace, name: string) {
  const link = namespace.routes.link(name);
  if (link === undefined) throw new Error(`no link ${name}`);
  return link;
}
