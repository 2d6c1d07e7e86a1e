/**
 * What the API server fills into a Pod (pkg/apis/core/v1/defaults.go and the ServiceAccount, priority and toleration
 * admission plugins): what users see in `kubectl get pod -o yaml`.
 */
import { at, type Fields, fieldsOf, isFields, type KubeObject, listOf, setAt, textOf } from "../object/object.ts";

export function setDefault(target: Fields, name: string, value: unknown): void {
  const current = target[name];
  if (current === undefined || current === "") target[name] = value;
}

export function defaultPod(pod: KubeObject): void {
  const spec = fieldsOf(pod["spec"]);
  pod["spec"] = spec;
  setDefault(spec, "restartPolicy", "Always");
  setDefault(spec, "dnsPolicy", "ClusterFirst");
  setDefault(spec, "terminationGracePeriodSeconds", 30);
  setDefault(spec, "securityContext", {});
  setDefault(spec, "schedulerName", "default-scheduler");
  setDefault(spec, "enableServiceLinks", true);
  setDefault(spec, "serviceAccountName", textOf(spec["serviceAccount"]) || "default");
  spec["serviceAccount"] = spec["serviceAccountName"];
  setDefault(spec, "preemptionPolicy", "PreemptLowerPriority");
  setDefault(spec, "priority", 0);
  const hostNetwork = spec["hostNetwork"] === true;
  for (const list of ["initContainers", "containers", "ephemeralContainers"]) {
    for (const container of listOf(spec[list])) if (isFields(container)) defaultContainer(container, hostNetwork);
  }
  for (const volume of listOf(spec["volumes"])) if (isFields(volume)) defaultVolume(volume);
  setAt(pod, ["status", "phase"], textOf(at(pod, "status", "phase")) || "Pending");
}

function defaultContainer(container: Fields, hostNetwork: boolean): void {
  setDefault(container, "terminationMessagePath", "/dev/termination-log");
  setDefault(container, "terminationMessagePolicy", "File");
  setDefault(container, "imagePullPolicy", isLatest(textOf(container["image"])) ? "Always" : "IfNotPresent");
  setDefault(container, "resources", {});
  for (const port of listOf(container["ports"])) {
    if (!isFields(port)) continue;
    setDefault(port, "protocol", "TCP");
    if (hostNetwork) setDefault(port, "hostPort", port["containerPort"]);
  }
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    if (isFields(container[name])) defaultProbe(container[name]);
  }
  for (const variable of listOf(container["env"])) {
    const reference = at(variable, "valueFrom", "fieldRef");
    if (isFields(reference)) setDefault(reference, "apiVersion", "v1");
  }
  defaultRequests(fieldsOf(container["resources"]));
}

/** No tag, or the tag "latest": the image may change under its name. */
function isLatest(image: string): boolean {
  if (image.includes("@")) return false;
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  return tag === undefined || tag === "latest";
}

/** What is limited and not requested is requested up to the limit. */
function defaultRequests(resources: Fields): void {
  const limits = fieldsOf(resources["limits"]);
  for (const [name, value] of Object.entries(limits)) {
    if (at(resources, "requests", name) === undefined) setAt(resources, ["requests", name], value);
  }
}

function defaultProbe(probe: Fields): void {
  setDefault(probe, "timeoutSeconds", 1);
  setDefault(probe, "periodSeconds", 10);
  setDefault(probe, "successThreshold", 1);
  setDefault(probe, "failureThreshold", 3);
  const http = probe["httpGet"];
  if (isFields(http)) {
    setDefault(http, "scheme", "HTTP");
    setDefault(http, "path", "/");
  }
}

const DEFAULT_MODE_SOURCES = ["configMap", "secret", "projected", "downwardAPI"];

function defaultVolume(volume: Fields): void {
  if (Object.keys(volume).length === 1) volume["emptyDir"] = {};
  for (const source of DEFAULT_MODE_SOURCES) {
    // 0644 in octal.
    if (isFields(volume[source])) setDefault(volume[source], "defaultMode", 420);
  }
  if (isFields(volume["hostPath"])) volume["hostPath"]["type"] ??= "";
}

/** Taints that node trouble sets are tolerated for five minutes (the DefaultTolerationSeconds admission plugin). */
export function addDefaultTolerations(pod: KubeObject): void {
  const spec = fieldsOf(pod["spec"]);
  const tolerations = [...listOf(spec["tolerations"])];
  for (const key of ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]) {
    const tolerated = tolerations.some(
      (item) => at(item, "key") === key || (!at(item, "key") && at(item, "operator") === "Exists"),
    );
    if (!tolerated) tolerations.push({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 });
  }
  spec["tolerations"] = tolerations;
}

/** Quality of service by requests and limits, as the kubelet would evict. */
export function qosClass(pod: KubeObject): string {
  const containers = [...listOf(at(pod, "spec", "containers")), ...listOf(at(pod, "spec", "initContainers"))];
  let guaranteed = true;
  let any = false;
  for (const container of containers) {
    for (const name of ["cpu", "memory"]) {
      const limit = at(container, "resources", "limits", name);
      const request = at(container, "resources", "requests", name);
      if (limit !== undefined || request !== undefined) any = true;
      if (limit === undefined || (request !== undefined && request !== limit)) guaranteed = false;
    }
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}
