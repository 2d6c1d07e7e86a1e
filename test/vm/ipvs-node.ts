/** A Service proxy over the real kernel of a namespace, with its Services from a list. */
import type { TestContext } from "node:test";
import { Registry } from "prom-client";
import type { IpvsKernel } from "../../src/agent/services/ipvs-services.ts";
import { createServiceMetrics } from "../../src/agent/services/service-metrics.ts";
import { ServiceProxy } from "../../src/agent/services/service-proxy.ts";
import { FakeServiceSource, type ServiceState } from "../../src/agent/services/testing/proxy-rig.ts";
import { openConntrack } from "../../src/kernel/ctnetlink/conntrack-socket.ts";
import { openIpvsKernel } from "../../src/kernel/ipvs-kernel.ts";
import { openNftables } from "../../src/kernel/nfnetlink/nft-socket.ts";
import { systemClock } from "../../src/kube/clock.ts";
import { DEFAULT_SERVICE_CONFIG, type IpvsConfig, type ServiceConfig } from "../../src/model/node-config.ts";
import type { ServiceContext } from "../../src/plan/services/frontends.ts";
import type { TestNamespace } from "../kernel/namespaces.ts";

export interface NodeProxy extends Disposable {
  readonly proxy: ServiceProxy;
  readonly source: FakeServiceSource;
  /** Warnings and errors. */
  readonly problems: string[];
  set(state: ServiceState): void;
}

export const ROUND_ROBIN: IpvsConfig = { scheduler: "rr", drainSeconds: 900 };

/** What is opened and called runs inside, whoever calls. */
function ipvsKernelOf(ns: TestNamespace): IpvsKernel {
  const kernel = ns.run(() => openIpvsKernel());
  const inside =
    <A extends unknown[], T>(body: (...args: A) => T) =>
    (...args: A) =>
      ns.run(() => body(...args));
  return {
    ...kernel,
    openIpvs: inside(kernel.openIpvs),
    loadIpvs: inside(kernel.loadIpvs),
    sysctl: { read: inside(kernel.sysctl.read), write: inside(kernel.sysctl.write) },
  };
}

/**
 * An agent's proxy begins on the node, with what the kernel has.
 * @param begin calls what reads the kernel and brings the Services into it
 */
export function startProxy(
  t: Pick<TestContext, "after">,
  ns: TestNamespace,
  context: ServiceContext,
  state: ServiceState,
  config: Partial<ServiceConfig> = {},
  begin: (body: () => void) => void = (body) => body(),
): NodeProxy {
  const problems: string[] = [];
  const problem = (fields: object, message: string) => void problems.push(`${message} ${JSON.stringify(fields)}`);
  const source = new FakeServiceSource();
  source.set(state);
  const [nftables, conntrack] = ns.run(() => [openNftables(), openConntrack()] as const);
  const ipvs = ipvsKernelOf(ns);
  const proxy = ns.run(
    () =>
      new ServiceProxy({
        nftables,
        conntrack,
        ipvs,
        source,
        config: { ...DEFAULT_SERVICE_CONFIG, serviceCidrs: ["10.96.0.0/16", "fd00:10:96::/112"], ...config },
        log: { debug: () => undefined, info: () => undefined, warn: problem, error: problem },
        metrics: createServiceMetrics(new Registry()),
        clock: systemClock,
        onCommit: () => undefined,
      }),
  );
  const close = () => {
    proxy[Symbol.dispose]();
    nftables[Symbol.dispose]();
    conntrack[Symbol.dispose]();
    ipvs.routes.close();
  };
  let isOpen = true;
  const end = () => {
    if (isOpen) close();
    isOpen = false;
  };
  t.after(end);
  begin(() => proxy.setNode(context));
  return {
    proxy,
    source,
    problems,
    set: (next) => {
      source.set(next);
      proxy.request();
    },
    [Symbol.dispose]: end,
  };
}
