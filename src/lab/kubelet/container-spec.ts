/** The fields of a container that the lab's kubelet acts on. */
import { asArray, asObject, asString, type JsonObject } from "../../kube/json.ts";

export interface ContainerPort {
  readonly port: number;
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly hostPort?: number;
  /** Absent: every address of the node. */
  readonly hostIP?: string;
}

export interface PodContainer {
  readonly name: string;
  readonly image: string;
  /** With its arguments. Empty: the built-in responder. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly ports: readonly ContainerPort[];
  readonly workingDir: string | undefined;
  readonly startup: ContainerProbe | undefined;
  readonly readiness: ContainerProbe | undefined;
  readonly liveness: ContainerProbe | undefined;
  readonly preStop: PreStop | undefined;
  /** An init container with restartPolicy Always: it runs beside those that come after it (KEP-753). */
  readonly sidecar: boolean;
}

/** exec, tcpSocket and httpGet of a probe; seconds and counts as in the Pod API. */
export interface ContainerProbe {
  readonly check:
    | { readonly type: "exec"; readonly command: readonly string[] }
    | { readonly type: "tcp"; readonly port: number }
    | { readonly type: "http"; readonly port: number; readonly path: string };
  readonly periodSeconds: number;
  readonly initialDelaySeconds: number;
  readonly timeoutSeconds: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/** What a container does before it is told to end: time in which it leaves its Services. */
export type PreStop =
  | { readonly type: "exec"; readonly command: readonly string[] }
  | { readonly type: "sleep"; readonly seconds: number };

export function parseContainer(container: JsonObject): PodContainer {
  const ports = objects(container["ports"]);
  const command = strings(container["command"]);
  const probe = (name: string) => parseProbe(asObject(container[name]), ports);
  return {
    name: asString(container["name"]) ?? "",
    image: asString(container["image"]) ?? "",
    // Arguments alone are for the image's own program, which the responder stands for.
    command: command.length === 0 ? [] : [...command, ...strings(container["args"])],
    env: Object.fromEntries(
      objects(container["env"]).map((entry) => [asString(entry["name"]) ?? "", asString(entry["value"]) ?? ""]),
    ),
    ports: ports.map(parsePort),
    workingDir: asString(container["workingDir"]),
    startup: probe("startupProbe"),
    readiness: probe("readinessProbe"),
    liveness: probe("livenessProbe"),
    preStop: parsePreStop(asObject(asObject(container["lifecycle"])?.["preStop"])),
    sidecar: container["restartPolicy"] === "Always",
  };
}

function parsePort(port: JsonObject): ContainerPort {
  const { hostPort, hostIP } = port;
  return {
    port: asNumber(port["containerPort"], 0),
    protocol: protocolOf(port["protocol"]),
    ...(typeof hostPort === "number" ? { hostPort } : {}),
    ...(typeof hostIP === "string" && hostIP !== "" ? { hostIP } : {}),
  };
}

function parseProbe(probe: JsonObject | undefined, ports: readonly JsonObject[]): ContainerProbe | undefined {
  const check = probe === undefined ? undefined : parseCheck(probe, ports);
  if (probe === undefined || check === undefined) return undefined;
  return {
    check,
    periodSeconds: asNumber(probe["periodSeconds"], 10),
    initialDelaySeconds: asNumber(probe["initialDelaySeconds"], 0),
    timeoutSeconds: asNumber(probe["timeoutSeconds"], 1),
    successThreshold: asNumber(probe["successThreshold"], 1),
    failureThreshold: asNumber(probe["failureThreshold"], 3),
  };
}

function parseCheck(probe: JsonObject, ports: readonly JsonObject[]): ContainerProbe["check"] | undefined {
  const exec = asObject(probe["exec"]);
  if (exec !== undefined) return { type: "exec", command: strings(exec["command"]) };
  const tcp = asObject(probe["tcpSocket"]);
  if (tcp !== undefined) return { type: "tcp", port: portOf(tcp["port"], ports) };
  const http = asObject(probe["httpGet"]);
  if (http !== undefined)
    return { type: "http", port: portOf(http["port"], ports), path: asString(http["path"]) ?? "/" };
  return undefined;
}

function parsePreStop(preStop: JsonObject | undefined): PreStop | undefined {
  const exec = asObject(preStop?.["exec"]);
  if (exec !== undefined) return { type: "exec", command: strings(exec["command"]) };
  const sleep = asObject(preStop?.["sleep"]);
  return sleep === undefined ? undefined : { type: "sleep", seconds: asNumber(sleep["seconds"], 0) };
}

/** A port by number or by the name that the container gave it. */
function portOf(value: unknown, ports: readonly JsonObject[]): number {
  if (typeof value === "number") return value;
  return asNumber(ports.find((port) => port["name"] === value)?.["containerPort"], 0);
}

function protocolOf(value: unknown): ContainerPort["protocol"] {
  return value === "UDP" || value === "SCTP" ? value : "TCP";
}

export function asNumber(value: unknown, otherwise: number): number {
  return typeof value === "number" ? value : otherwise;
}

export function objects(value: unknown): JsonObject[] {
  return (asArray(value) ?? []).map(asObject).filter((entry) => entry !== undefined);
}

export function strings(value: unknown): string[] {
  return (asArray(value) ?? []).map(asString).filter((entry) => entry !== undefined);
}
