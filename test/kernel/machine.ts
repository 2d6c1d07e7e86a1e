/**
 * A node and a pod's namespace, of the real kernel or of the one in memory, behind one face: what holds for the one must
 * hold for the other.
 */
import type { TestContext } from "node:test";
import { FakeHost } from "../../src/kernel/fake/host.ts";
import { openNamespace } from "../../src/kernel/netns.ts";
import { watchRoutes } from "../../src/kernel/rtnetlink/route-events.ts";
import type { RouteEvent, RouteTable } from "../../src/kernel/rtnetlink/types.ts";
import { testNamespace } from "./namespaces.ts";

export interface Machine {
  readonly node: RouteTable;
  readonly pod: RouteTable;
  /** Descriptor of the pod's namespace, for the other end of a pair. */
  readonly podFd: number;
  /** The node's routes, as somebody else handles them. */
  readonly other: RouteTable;
  watch(listener: (events: RouteEvent[]) => void): Disposable;
}

export function realMachine(t: TestContext): Machine {
  const node = testNamespace(t, "node");
  const pod = testNamespace(t, "pod");
  const namespace = openNamespace(pod.path);
  t.after(() => namespace.close());
  const watch = (listener: (events: RouteEvent[]) => void) => node.run(() => watchRoutes(listener));
  return { node: node.routes, other: node.routes, pod: pod.routes, podFd: namespace.fd, watch };
}

export function fakeMachine(): Machine {
  const host = new FakeHost();
  const other = host.addNamespace("/run/netns/node");
  host.addNamespace("/run/netns/pod");
  const kernel = host.kernel("/run/netns/node");
  const podFd = kernel.openPod("/run/netns/pod").fd;
  const pod = host.kernel("/run/netns/pod").routes;
  return { node: kernel.routes, other: other.routes, pod, podFd, watch: kernel.watch };
}
