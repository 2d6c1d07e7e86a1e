/**
 * The configuration of a GoBGP daemon, as JSON. What it announces of its own it is told by its command: gobgp-routes.ts.
 */
import type { FabricNeighbor, FabricRouter } from "./plan.ts";

const [KEEPALIVE_SECONDS, HOLD_SECONDS, RESTART_SECONDS] = [30, 90, 120];

export function formatGobgpConfig({ asNumber, routerId, neighbors }: FabricRouter): string {
  const config = {
    global: {
      config: { as: asNumber, "router-id": routerId },
      "use-multiple-paths": { config: { enabled: true } },
    },
    neighbors: neighbors.map(formatNeighbor),
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

function formatNeighbor({ name, address, asNumber, families, password }: FabricNeighbor): object {
  return {
    config: {
      "neighbor-address": address,
      "peer-as": asNumber,
      description: name,
      ...(password === undefined ? {} : { "auth-password": password }),
    },
    timers: {
      config: {
        "connect-retry": 2,
        "hold-time": HOLD_SECONDS,
        "keepalive-interval": KEEPALIVE_SECONDS,
        // Its own default keeps a session that was reset down for half a minute.
        "idle-hold-time-after-reset": 1,
      },
    },
    "graceful-restart": { config: { enabled: true, "restart-time": RESTART_SECONDS } },
    "afi-safis": families.map((family) => ({
      config: { "afi-safi-name": `ipv${family}-unicast` },
      "mp-graceful-restart": { config: { enabled: true } },
    })),
  };
}
