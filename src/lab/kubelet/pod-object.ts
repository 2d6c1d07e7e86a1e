/** The fields of a Pod that the lab's kubelet acts on. */
import { asObject, asString, type JsonObject } from "../../kube/json.ts";
import { asNumber, objects, type PodContainer, parseContainer } from "./container-spec.ts";

/** terminationGracePeriodSeconds that the API server fills in. */
const DEFAULT_GRACE_SECONDS = 30;

export interface LabPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly hostNetwork: boolean;
  readonly deleting: boolean;
  /** What is left to the containers once the pod is deleted: metadata.deletionGracePeriodSeconds. */
  readonly graceSeconds: number;
  /**
   * The manifest asks for another grace period than the default: the built-in responder then goes on answering for all
   * of it, as a program does that finishes its requests. With the default it ends at once, as most programs do.
   */
  readonly lingers: boolean;
  /** status.phase is Succeeded or Failed: it runs nowhere any more, whoever said so. */
  readonly over: boolean;
  readonly restartPolicy: "Always" | "OnFailure" | "Never";
  readonly initContainers: readonly PodContainer[];
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
  const specGrace = asNumber(spec["terminationGracePeriodSeconds"], DEFAULT_GRACE_SECONDS);
  return {
    namespace,
    name,
    uid,
    hostNetwork: spec["hostNetwork"] === true,
    deleting: metadata["deletionTimestamp"] !== undefined,
    graceSeconds: asNumber(metadata["deletionGracePeriodSeconds"], specGrace),
    lingers: specGrace !== DEFAULT_GRACE_SECONDS,
    over: status["phase"] === "Succeeded" || status["phase"] === "Failed",
    restartPolicy: restartPolicy(spec["restartPolicy"]),
    initContainers: objects(spec["initContainers"]).map(parseContainer),
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
