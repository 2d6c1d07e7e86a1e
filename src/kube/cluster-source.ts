/**
 * The cluster as one node's agent needs it: all nodes, the pods of this node, all namespaces, kept true by one
 * reflector each. The agent asks for the view whenever it is told that something changed.
 */
import type { ClusterNamespace, ClusterNode, ClusterPod, ClusterView } from "../model/cluster.ts";
import { BreakwaterError } from "../model/errors.ts";
import { isNotFound } from "./api-error.ts";
import type { KubeClient } from "./client.ts";
import { coalesce } from "./coalesce.ts";
import { parseNamespace } from "./parse-namespace.ts";
import { parseNode } from "./parse-node.ts";
import { parsePod } from "./parse-pod.ts";
import { Reflector } from "./reflector.ts";
import type { ReflectorState } from "./reflector-options.ts";
import { namespaces, nodes, pods, type ResourceType } from "./resource.ts";
import { reflectorOptions, type SourceOptions } from "./source-options.ts";

export type ClusterKind = keyof ClusterView;

export interface ClusterSourceOptions extends Omit<SourceOptions, "onChange"> {
  /** Something changed, of these kinds: once for all that came in one turn of the event loop. */
  readonly onChange: (kinds: ReadonlySet<ClusterKind>) => void;
  readonly client: Pick<KubeClient, "get" | "listPage" | "watch">;
  /** The node whose pods are watched. */
  readonly nodeName: string;
}

export interface ClusterSource {
  /** The last known state. Each map is live until the next list of its kind: read it within one turn. */
  view(): ClusterView;
  /** Resolves when every kind was listed once; rejects with BW_KUBE_STOPPED when stopped before. */
  readonly synced: Promise<void>;
  /**
   * A pod of this node from the view, else from the API; undefined when the API says there is none.
   * @param uid where known: a pod of the same name with another uid is an older one, and the API is asked
   */
  findPod(namespace: string, name: string, uid?: string): Promise<ClusterPod | undefined>;
  /** The same, always from the API: the view may be behind it. */
  readPod(namespace: string, name: string): Promise<ClusterPod | undefined>;
  state(): readonly ReflectorState[];
  stop(): Promise<void>;
}

export function startClusterSource(options: ClusterSourceOptions): ClusterSource {
  // An empty name would select every pod that is bound to no node.
  if (options.nodeName === "") throw new RangeError("Cannot watch a node's pods: the node name is empty");
  const { nodeReflector, podReflector, namespaceReflector } = makeReflectors(options);
  const reflectors = [nodeReflector, podReflector, namespaceReflector];
  let changed = new Set<ClusterKind>();
  const notice = coalesce(() => {
    const kinds = changed;
    changed = new Set();
    options.onChange(kinds);
  });
  const changes = (kind: ClusterKind) => () => {
    changed.add(kind);
    notice.call();
  };
  nodeReflector.onChange(changes("nodes"));
  podReflector.onChange(changes("pods"));
  namespaceReflector.onChange(changes("namespaces"));
  for (const reflector of reflectors) reflector.start();
  const synced = Promise.all(reflectors.map((reflector) => reflector.synced)).then(() => {});
  synced.catch(() => {});
  return {
    view: () => ({
      nodes: nodeReflector.items(),
      pods: podReflector.items(),
      namespaces: namespaceReflector.items(),
    }),
    synced,
    findPod: async (namespace, name, uid) => {
      const known = podReflector.items().get(`${namespace}/${name}`);
      if (known !== undefined && (uid === undefined || known.uid === uid)) return known;
      return getPod(options, namespace, name);
    },
    readPod: (namespace, name) => getPod(options, namespace, name),
    state: () => reflectors.map((reflector) => reflector.state()),
    stop: async () => {
      notice.cancel();
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}

function makeReflectors(options: ClusterSourceOptions) {
  // A node that cannot be read for a moment keeps its routes; what is gone is deleted, and that is an event.
  const common = (resource: ResourceType) => ({
    ...reflectorOptions(options, resource),
    unparsable: "last-good" as const,
  });
  const selection = { fieldSelector: `spec.nodeName=${options.nodeName}` };
  return {
    nodeReflector: new Reflector<ClusterNode>({ ...common(nodes), parse: parseNode }),
    podReflector: new Reflector<ClusterPod>({ ...common(pods), selection, parse: parsePod }),
    namespaceReflector: new Reflector<ClusterNamespace>({ ...common(namespaces), parse: parseNamespace }),
  };
}

async function getPod(
  { client, onProblem }: Pick<ClusterSourceOptions, "client" | "onProblem">,
  namespace: string,
  name: string,
): Promise<ClusterPod | undefined> {
  const key = `${namespace}/${name}`;
  try {
    const object = await client.get({ resource: pods, namespace, name });
    return parsePod(object, (field, why) => onProblem({ resource: "pods", key, field, why }));
  } catch (error) {
    if (isNotFound(error)) return undefined;
    if (error instanceof SyntaxError)
      throw new BreakwaterError("BW_KUBE_RESPONSE", `Cannot read pod ${key}: ${error.message}`, {
        operation: "get",
        object: `pods ${key}`,
        cause: error,
      });
    throw error;
  }
}
