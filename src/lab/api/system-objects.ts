/**
 * What every cluster has from its first moment: four namespaces and the Service that leads to the API.
 */
import { familyName } from "./kinds/service-ip-families.ts";
import type { Registry } from "./registry/registry.ts";
import type { Store } from "./store.ts";

const NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];

export function createSystemObjects(registry: Registry, store: Store): void {
  for (const name of NAMESPACES) {
    store.create({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }
  const [family] = registry.serviceIps.families;
  if (family === undefined) return;
  const clusterIP = registry.serviceIps.first(family);
  store.create({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "kubernetes", namespace: "default", labels: { component: "apiserver", provider: "kubernetes" } },
    spec: {
      type: "ClusterIP",
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: [familyName(family)],
      ipFamilyPolicy: "SingleStack",
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: 6443 }],
    },
  });
}
