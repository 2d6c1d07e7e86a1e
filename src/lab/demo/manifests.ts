/** The demonstration: a responder on every node, and a frontend that asks a real Redis on another node, behind the router. */
import type { NewObject } from "../api/store.ts";

export const DEMO_NAMESPACE = "shop";
export const REDIS_IP = "10.244.2.20";
export const REDIS_PORT = 6379;
export const FRONTEND_PORT = 8080;
/** Every connection here is answered by one line of JSON: see frontend.ts. */
export const LATENCY_PORT = 8079;

export interface DemoPrograms {
  readonly redisServer: string;
  readonly node: string;
  /** The bundled program. */
  readonly program: string;
}

export function demoManifests(nodes: readonly string[], programs: DemoPrograms): NewObject[] {
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: DEMO_NAMESPACE } },
    ...nodes.map((node, i) => pod(`web${i + 1}`, node, { containerPort: 80 })),
    pod("redis", nodes[1] ?? nodes[0] ?? "", { containerPort: REDIS_PORT }, redisCommand(programs), REDIS_IP),
    pod("frontend", nodes[0] ?? "", { containerPort: FRONTEND_PORT }, frontendCommand(programs)),
  ];
}

function redisCommand({ redisServer }: DemoPrograms): string[] {
  const options = [
    "--port",
    String(REDIS_PORT),
    "--bind",
    "0.0.0.0",
    "--protected-mode",
    "no",
    "--save",
    "",
    "--appendonly",
    "no",
  ];
  return [redisServer, ...options, "--dir", "/tmp"];
}

function frontendCommand({ node, program }: DemoPrograms): string[] {
  return [node, program, "lab-frontend", REDIS_IP, String(REDIS_PORT)];
}

function pod(
  name: string,
  nodeName: string,
  port: { containerPort: number },
  command: string[] = [],
  ip?: string,
): NewObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: DEMO_NAMESPACE,
      labels: { app: name },
      ...(ip === undefined ? {} : { annotations: { "breakwater.dev/ip": ip } }),
    },
    spec: {
      nodeName,
      containers: [
        {
          name,
          image: name,
          ports: [port],
          ...(command.length === 0 ? {} : { command }),
          ...(command.length === 0
            ? {}
            : { readinessProbe: { tcpSocket: { port: port.containerPort }, periodSeconds: 1 } }),
        },
      ],
    },
  };
}
