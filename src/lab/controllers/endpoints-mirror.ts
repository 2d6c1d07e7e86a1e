/**
 * The core/v1 Endpoints object of a Service: the older form of its slices, for clients that still read it.
 */
import { at, equal, type KubeObject, textOf } from "../api/object/object.ts";
import { type ControllerContext, referenceTo } from "./controller.ts";
import { endpointPorts, isOver, isReady, podHostname } from "./endpoints-of-service.ts";

/** More than this the real controller leaves out as well (maxCapacity). */
const MAX_ADDRESSES = 1000;

export function syncEndpoints({ store }: ControllerContext, service: KubeObject, pods: readonly KubeObject[]): void {
  const { namespace, name, labels } = service.metadata;
  const subsets = endpointSubsets(service, pods);
  const current = store.get("endpoints", namespace, name);
  if (current === undefined) {
    store.create({
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name, namespace, labels: { ...labels } },
      subsets,
    });
  } else if (!equal(current["subsets"] ?? [], subsets)) {
    store.modify("endpoints", namespace, name, (draft) => {
      draft["subsets"] = subsets;
    });
  }
}

function endpointSubsets(service: KubeObject, pods: readonly KubeObject[]) {
  const publishAll = at(service, "spec", "publishNotReadyAddresses") === true;
  const usable = pods.filter((pod) => {
    const going = pod.metadata.deletionTimestamp !== undefined;
    return !isOver(pod) && textOf(at(pod, "status", "podIP")) !== "" && (!going || publishAll);
  });
  const byPorts = Map.groupBy(usable.slice(0, MAX_ADDRESSES), (pod) => JSON.stringify(endpointPorts(service, pod)));
  return [...byPorts].map(([ports, group]) => {
    const ready = group.filter((pod) => publishAll || isReady(pod)).map((pod) => address(service, pod));
    const notReady = group.filter((pod) => !publishAll && !isReady(pod)).map((pod) => address(service, pod));
    return {
      ...(ready.length > 0 && { addresses: ready }),
      ...(notReady.length > 0 && { notReadyAddresses: notReady }),
      ports: (JSON.parse(ports) as { name: string }[]).map(({ name, ...port }) =>
        name === "" ? port : { name, ...port },
      ),
    };
  });
}

function address(service: KubeObject, pod: KubeObject) {
  const hostname = podHostname(service, pod);
  const nodeName = textOf(at(pod, "spec", "nodeName"));
  return {
    ip: textOf(at(pod, "status", "podIP")),
    ...(hostname !== undefined && { hostname }),
    ...(nodeName !== "" && { nodeName }),
    targetRef: referenceTo(pod),
  };
}
