/** The lab's kubeconfig: one cluster, one user, JSON (which is YAML). */
export function formatKubeconfig(server: string, certificate: string, token: string): string {
  const name = "breakwater-lab";
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": name,
    clusters: [
      { name, cluster: { server, "certificate-authority-data": Buffer.from(certificate).toString("base64") } },
    ],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
