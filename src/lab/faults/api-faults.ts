/** Faults of the control plane: the API server goes away, and comes back as one that was started anew. */
import type { FaultKind } from "./fault.ts";

export const apiDown: FaultKind = {
  name: "api-down",
  summary: "The API server is down; clearing the fault starts it again, with no memory of what changed before",
  scope: "api",
  add: async (_target, { api }) => {
    api.refuseConnections(true);
    return {
      description: "the API server is down",
      undo: async () => {
        // A server that starts has an empty watch cache: who watches from before is told to list again.
        api.expireHistory();
        api.refuseConnections(false);
      },
    };
  },
};
