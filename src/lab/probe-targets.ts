/** What the words of a probe mean: "NS/POD", "node/NODE", an IP address, "SERVICE.NS". */
import { asArray, asObject, asString } from "../kube/json.ts";
import { BreakwaterError } from "../model/errors.ts";
import { type Ip, tryParseIp } from "../model/ip.ts";
import type { Store } from "./api/store.ts";
import { OUTSIDE, type Topology } from "./topology.ts";

export interface TargetSurroundings {
  readonly topology: Topology;
  readonly store: Store;
  /** Path of a lab machine's namespace: "node1", "router", "outside". */
  readonly hostNetns: (name: string) => string | undefined;
  /** Names of the lab's routers. */
  readonly routers: readonly string[];
  /** Path of a pod's namespace, by its address; undefined when it has none yet. */
  readonly podNetns: (namespace: string, name: string) => string | undefined;
}

/** Path of the namespace that "NS/POD" or "node/NODE" names. @throws BreakwaterError BW_LAB_TARGET */
export function resolveNetns(target: string, around: TargetSurroundings): string {
  const [head = "", name = "", ...more] = target.split("/");
  if (more.length > 0 || name === "") throw unknown(target, "it is neither NAMESPACE/POD nor node/NODE");
  if (head === "node") {
    const netns = around.hostNetns(name);
    if (netns !== undefined) return netns;
    const names = [...around.topology.nodes.map((node) => node.name), ...around.routers, OUTSIDE.name];
    throw unknown(target, `the lab has ${names.join(", ")}`);
  }
  if (around.store.get("pods", head, name) === undefined) throw unknown(target, "there is no such pod");
  const netns = around.podNetns(head, name);
  if (netns === undefined) throw unknown(target, "the pod has no network yet");
  return netns;
}

/** The address that a probe dials. @throws BreakwaterError BW_LAB_TARGET */
export function resolveAddress(target: string, around: TargetSurroundings): Ip {
  const ip = tryParseIp(target);
  if (ip !== undefined) return ip;
  if (target.includes("/")) return slashAddress(target, around);
  const dot = target.indexOf(".");
  const [name, namespace] = [target.slice(0, dot), target.slice(dot + 1).replace(/\.svc(\..*)?$/, "")];
  const service = dot > 0 ? around.store.get("services", namespace, name) : undefined;
  if (service === undefined)
    throw unknown(target, "it is no IP address, NAMESPACE/POD, node/NODE or SERVICE.NAMESPACE");
  const clusterIp = asString(asObject(service["spec"])?.["clusterIP"]);
  if (clusterIp === undefined || clusterIp === "None" || clusterIp === "")
    throw unknown(target, "the Service has no cluster IP");
  return clusterIp;
}

function slashAddress(target: string, around: TargetSurroundings): Ip {
  const [head = "", name = ""] = target.split("/");
  if (head === "node") {
    const node = around.topology.nodes.find((candidate) => candidate.name === name);
    const address = name === OUTSIDE.name ? OUTSIDE.addresses[0].address : node?.addresses[0]?.address;
    if (address === undefined) throw unknown(target, "the lab has no such node");
    return address;
  }
  const pod = around.store.get("pods", head, name);
  if (pod === undefined) throw unknown(target, "there is no such pod");
  const ip = asString(asObject(pod["status"])?.["podIP"]);
  if (ip === undefined) throw unknown(target, "the pod has no address yet");
  return ip;
}

/** The addresses of a pod's status. */
export function podAddresses(pod: { readonly [field: string]: unknown } | undefined): Ip[] {
  const list = asArray(asObject(pod?.["status"])?.["podIPs"]) ?? [];
  return list.map((entry) => asString(asObject(entry)?.["ip"])).filter((ip) => ip !== undefined);
}

function unknown(target: string, why: string): BreakwaterError {
  return new BreakwaterError("BW_LAB_TARGET", `"${target}" cannot be used: ${why}`, { object: target });
}
