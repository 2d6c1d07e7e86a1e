/**
 * The CustomResourceDefinition of BGPPeers (breakwater.dev/v1alpha1): routers that nodes have sessions with.
 * tools/reference.ts writes it to deploy/, and the lab installs it.
 */
import {
  BGP_PORT,
  DEFAULT_MAX_PREFIXES,
  DEFAULT_RESTART_SECONDS,
  LARGEST_RESTART_SECONDS,
  MOST_HOPS,
} from "../model/bgp.ts";
import {
  asNumberSchema,
  communitiesSchema,
  LARGEST_NUMBER,
  localPreferenceSchema,
  prefixesSchema,
} from "./bgp-crd-parts.ts";
import { conditionsSchema, flag, object, ownDefinition, selector, text, whole } from "./crd-schema.ts";
import { bgpPeers } from "./resource.ts";

export const MOST_OWN_AS = 10;

const NAME_LENGTH = 253;

const passwordSecret = object(
  {
    namespace: text("Namespace of the Secret; absent: the agent's own.", { minLength: 1, maxLength: 63 }),
    name: text("Name of the Secret.", { minLength: 1, maxLength: NAME_LENGTH }),
    key: text("Key in its data.", { minLength: 1, maxLength: NAME_LENGTH }),
  },
  "Where the password of the session is (TCP MD5, RFC 2385): 1 to 80 printable characters.",
  { required: ["name", "key"] },
);

const spec = object(
  {
    address: text("Its address, IPv4 or IPv6.", {
      minLength: 2,
      maxLength: 45,
      pattern: "^[0-9A-Fa-f:.]+$",
      "x-kubernetes-validations": [{ rule: "isIP(self)", message: "it is no IP address" }],
    }),
    asNumber: asNumberSchema("Its AS number."),
    port: whole(1, 65_535, "TCP port on which it listens.", { default: BGP_PORT }),
    localASNumber: asNumberSchema("Our AS number towards it; absent: the cluster's."),
    nodeSelector: selector("Nodes that have a session with it; absent or empty: all."),
    passwordSecret,
    multihop: whole(2, MOST_HOPS, "Hops to it at most; absent: it is on a subnet of the node."),
    bfd: flag("Its silence is noticed within a second (Bidirectional Forwarding Detection, RFC 5880).", {
      default: false,
    }),
    gracefulRestartSeconds: whole(
      0,
      LARGEST_RESTART_SECONDS,
      "How long routes stay while one side restarts (RFC 4724); 0: they go at once.",
      { default: DEFAULT_RESTART_SECONDS },
    ),
    ttlSecurity: flag("Packets that come from farther away than it is are dropped (RFC 5082).", { default: false }),
    importAllow: prefixesSchema("Taken from it beside pod CIDRs of the cluster: these and what is inside."),
    exportAllow: prefixesSchema("Passed on to it of what BGP taught us: these and what is inside."),
    maxPrefixes: whole(1, 10_000_000, "More prefixes of a family than this are not taken from it.", {
      default: DEFAULT_MAX_PREFIXES,
    }),
    localPreference: localPreferenceSchema("LOCAL_PREF of what is learned from it; the largest wins."),
    communities: communitiesSchema("Set on what is announced to it, beside those of the cluster."),
    allowOwnAS: whole(0, MOST_OWN_AS, "How often our own AS may be in a path that it sends.", { default: 0 }),
  },
  "What is wanted.",
  {
    required: ["address", "asNumber"],
    "x-kubernetes-validations": [
      {
        rule: "!has(self.ttlSecurity) || !self.ttlSecurity || !has(self.multihop) || self.multihop < 255",
        message: "ttlSecurity with 255 hops drops nothing: give the hops that there are",
      },
    ],
  },
);

const session = object(
  {
    node: text("Name of the Node.", { minLength: 1, maxLength: NAME_LENGTH }),
    state: text("Idle, Connect, Active, OpenSent, OpenConfirm, Established (RFC 4271), or Down."),
    since: text("Since when.", { format: "date-time" }),
    prefixesIn: whole(0, LARGEST_NUMBER, "Prefixes that were taken from the peer."),
    prefixesOut: whole(0, LARGEST_NUMBER, "Prefixes that were announced to it."),
    lastError: text("Why the session ended, or does not begin; empty when nothing is wrong.", { maxLength: 1024 }),
  },
  "The session of one node.",
  { required: ["node", "state"] },
);

export const BGP_PEER_CRD = ownDefinition({
  resource: bgpPeers,
  kind: "BGPPeer",
  shortNames: [],
  description: "A router, or any other BGP speaker, that nodes have sessions with.",
  spec,
  status: object(
    {
      conditions: conditionsSchema,
      sessions: {
        type: "array",
        description: "One a node.",
        items: session,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["node"],
      },
    },
    "What agents found.",
  ),
  columns: [
    { name: "Address", type: "string", jsonPath: ".spec.address" },
    { name: "AS", type: "integer", jsonPath: ".spec.asNumber" },
    { name: "Understood", type: "string", jsonPath: '.status.conditions[?(@.type=="Understood")].status' },
  ],
});
