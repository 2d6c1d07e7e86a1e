/** The real kernel of one test namespace. Sockets and sysctls belong to the namespace they are opened in, so all are. */
import { type Kernel, openKernel } from "../../src/kernel/kernel.ts";
import type { TestNamespace } from "./namespaces.ts";

export function namespaceKernel(namespace: TestNamespace): Kernel {
  const kernel = namespace.run(() => openKernel());
  const { nftables, sysctl } = kernel;
  return {
    ...kernel,
    sysctl: {
      read: (name) => namespace.run(() => sysctl.read(name)),
      write: (name, value) => namespace.run(() => sysctl.write(name, value)),
    },
    nftables: {
      table: (name) => nftables.table(name),
      tableInPieces: (name) => nftables.tableInPieces(name),
      elements: (table, set) => nftables.elements(table, set),
      counters: (table, chains) => nftables.counters(table, chains),
      commit: (table, changes) => nftables.commit(table, changes),
      watch: (table, changed) => namespace.run(() => nftables.watch(table, changed)),
      [Symbol.dispose]: () => nftables[Symbol.dispose](),
    },
    watch: (listener) => namespace.run(() => kernel.watch(listener)),
    watchPodEnds: (listener) => namespace.run(() => kernel.watchPodEnds(listener)),
    [Symbol.dispose]: () => kernel[Symbol.dispose](),
  };
}
