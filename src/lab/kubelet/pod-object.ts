/** The fields of a Pod that the lab's kubelet acts on. */
import { asArray, asObject, asString, type JsonObject } from "../../kube/json.ts";

export interface PodContainer {
  readonly name: string;
  readonly image: string;
  /** Empty: the built-in responder. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly ports: readonly {
    readonly port: number;
    readonly protocol: "TCP" | "UDP" | "SCTP";
    readonly hostPort?: number;
  }[];
  readonly workingDir: string | undefined;
  readonly readiness: ReadinessProbe | undefined;
}

/** exec, tcpSocket and httpGet of a readinessProbe; seconds and counts as in the Pod API. */
export interface ReadinessProbe {
  readonly check:
    | { readonly type: "exec"; readonly command: readonly string[] }
    | { readonly type: "tcp"; readonly port: number }
    | { readonly type: "http"; readonly port: number; readonly path: string };
  readonly periodSeconds: number;
  readonly initialDelaySeconds: number;
  readonly timeoutSeconds: number;
  readonly failureThreshold: number;
}

export interface LabPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly hostNetwork: boolean;
  readonly deleting: boolean;
  readonly graceSeconds: number;
  readonly restartPolicy: "Always" | "OnFailure" | "Never";
  readonly containers: readonly PodContainer[];
  /** Bits per second of kubernetes.io/ingress-bandwidth and egress-bandwidth. */
  readonly bandwidth: { readonly ingressRate?: number; readonly egressRate?: number };
  readonly readinessGates: readonly string[];
  /** status.conditions that others set: a gate's state. */
  readonly conditions: ReadonlyMap<string, boolean>;
}

export function parseLabPod(object: JsonObject): LabPod | undefined {
  const metadata = asObject(object["metadata"]) ?? {};
  const spec = asObject(object["spec"]) ?? {};
  const status = asObject(object["status"]) ?? {};
  const name = asString(metadata["name"]);
  const namespace = asString(metadata["namespace"]);
  const uid = asString(metadata["uid"]);
  if (name === undefined || namespace === undefined || uid === undefined) return undefined;
  return {
    namespace,
    name,
    uid,
    hostNetwork: spec["hostNetwork"] === true,
    deleting: metadata["deletionTimestamp"] !== undefined,
    graceSeconds: asNumber(metadata["deletionGracePeriodSeconds"], 30),
    restartPolicy: restartPolicy(spec["restartPolicy"]),
    containers: objects(spec["containers"]).map(parseContainer),
    bandwidth: parseBandwidth(asObject(metadata["annotations"]) ?? {}),
    readinessGates: objects(spec["readinessGates"]).flatMap((gate) => asString(gate["conditionType"]) ?? []),
    conditions: new Map(
      objects(status["conditions"]).map((condition) => [
        asString(condition["type"]) ?? "",
        condition["status"] === "True",
      ]),
    ),
  };
}

function parseBandwidth(annotations: JsonObject): LabPod["bandwidth"] {
  const rate = (name: string) => parseQuantity(asString(annotations[`kubernetes.io/${name}-bandwidth`]));
  const [ingressRate, egressRate] = [rate("ingress"), rate("egress")];
  return { ...(ingressRate === undefined ? {} : { ingressRate }), ...(egressRate === undefined ? {} : { egressRate }) };
}

const QUANTITY_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
};

/** "10M" -> 10,000,000; undefined for anything that is no Kubernetes quantity of these units. */
function parseQuantity(text: string | undefined): number | undefined {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)([kMG]|[KMG]i|)$/.exec(text ?? "") ?? [];
  const factor = QUANTITY_UNITS[unit];
  return number === undefined || factor === undefined ? undefined : Math.round(Number(number) * factor);
}

function restartPolicy(value: unknown): LabPod["restartPolicy"] {
  return value === "Never" || value === "OnFailure" ? value : "Always";
}

function parseContainer(container: JsonObject): PodContainer {
  const ports = objects(container["ports"]);
  return {
    name: asString(container["name"]) ?? "",
    image: asString(container["image"]) ?? "",
    command: [...strings(container["command"]), ...strings(container["args"])],
    env: Object.fromEntries(
      objects(container["env"]).map((entry) => [asString(entry["name"]) ?? "", asString(entry["value"]) ?? ""]),
    ),
    ports: ports.map((port) => ({
      port: asNumber(port["containerPort"], 0),
      protocol: protocolOf(port["protocol"]),
      ...(typeof port["hostPort"] === "number" ? { hostPort: port["hostPort"] } : {}),
    })),
    workingDir: asString(container["workingDir"]),
    readiness: parseProbe(asObject(container["readinessProbe"]), ports),
  };
}

function parseProbe(probe: JsonObject | undefined, ports: readonly JsonObject[]): ReadinessProbe | undefined {
  const check = probe === undefined ? undefined : parseCheck(probe, ports);
  if (probe === undefined || check === undefined) return undefined;
  return {
    check,
    periodSeconds: asNumber(probe["periodSeconds"], 10),
    initialDelaySeconds: asNumber(probe["initialDelaySeconds"], 0),
    timeoutSeconds: asNumber(probe["timeoutSeconds"], 1),
    failureThreshold: asNumber(probe["failureThreshold"], 3),
  };
}

function parseCheck(probe: JsonObject, ports: readonly JsonObject[]): ReadinessProbe["check"] | undefined {
  const exec = asObject(probe["exec"]);
  if (exec !== undefined) return { type: "exec", command: strings(exec["command"]) };
  const tcp = asObject(probe["tcpSocket"]);
  if (tcp !== undefined) return { type: "tcp", port: portOf(tcp["port"], ports) };
  const http = asObject(probe["httpGet"]);
  if (http !== undefined)
    return { type: "http", port: portOf(http["port"], ports), path: asString(http["path"]) ?? "/" };
  return undefined;
}

/** A port by number or by the name that the container gave it. */
function portOf(value: unknown, ports: readonly JsonObject[]): number {
  if (typeof value === "number") return value;
  return asNumber(ports.find((port) => port["name"] === value)?.["containerPort"], 0);
}

function protocolOf(value: unknown): "TCP" | "UDP" | "SCTP" {
  return value === "UDP" || value === "SCTP" ? value : "TCP";
}

function asNumber(value: unknown, otherwise: number): number {
  return typeof value === "number" ? value : otherwise;
}

function objects(value: unknown): JsonObject[] {
  return (asArray(value) ?? []).map(asObject).filter((entry) => entry !== undefined);
}

function strings(value: unknown): string[] {
  return (asArray(value) ?? []).map(asString).filter((entry) => entry !== undefined);
}
