/** Network namespaces for tests: made under a folder of their own and removed whatever the test does. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { createNamespace, deleteNamespace, inNamespaceAt } from "../../src/kernel/netns.ts";
import { watchRoutes } from "../../src/kernel/rtnetlink/route-events.ts";
import { openRouteTable } from "../../src/kernel/rtnetlink/route-socket.ts";
import type { RouteTable } from "../../src/kernel/rtnetlink/types.ts";

export interface TestNamespace {
  readonly path: string;
  readonly routes: RouteTable;
  /** Runs synchronous code inside. */
  run<T>(body: () => T): T;
}

/** A new namespace with its loopback up, gone when the test ends. */
export function testNamespace(t: Pick<TestContext, "after">, name = "ns"): TestNamespace {
  const folder = fs.mkdtempSync(join(tmpdir(), "breakwater-test-"));
  const path = join(folder, name);
  let opened: RouteTable | undefined;
  t.after(() => {
    opened?.close();
    deleteNamespace(path);
    fs.rmSync(folder, { recursive: true });
  });
  createNamespace(path);
  const routes = inNamespaceAt(path, () => openRouteTable());
  opened = routes;
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

/** Gives the loopback device addresses and waits until they work: IPv6 ones do when a worker of the kernel says so. */
export async function addLoopbackAddresses(namespace: TestNamespace, ips: readonly string[]): Promise<void> {
  const index = linkOf(namespace, "lo").index;
  const { promise, resolve } = Promise.withResolvers<void>();
  const waiting = new Set(ips);
  using _watch = namespace.run(() =>
    watchRoutes((events) => {
      for (const event of events) if (event.type === "address") waiting.delete(event.address.address);
      if (waiting.size === 0) resolve();
    }),
  );
  for (const address of ips) {
    namespace.routes.addAddress({ index, address, length: address.includes(":") ? 128 : 32, noDad: true });
  }
  await promise;
}
