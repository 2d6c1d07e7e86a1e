/** Services and EndpointSlices of the namespace "shop" as the API has them, short. */
export function service(name: string, clusterIp = "10.96.0.10") {
  return {
    metadata: { name, namespace: "shop", uid: `uid-${name}` },
    spec: { clusterIPs: [clusterIp], ports: [{ port: 80 }] },
  };
}

export function slice(name: string, service: string, addresses: readonly string[] = ["10.0.0.1"]) {
  return {
    metadata: { name, namespace: "shop", labels: { "kubernetes.io/service-name": service } as Record<string, string> },
    addressType: "IPv4",
    ports: [{ name: "", protocol: "TCP", port: 8080 }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true }, nodeName: "node1" })),
  };
}
