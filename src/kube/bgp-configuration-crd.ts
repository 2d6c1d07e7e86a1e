/**
 * The CustomResourceDefinition of BGPConfigurations (breakwater.dev/v1alpha1): settings of all nodes, in one object of the
 * name "default". tools/reference.ts writes it to deploy/, and the lab installs it.
 */
import { BGP_PORT, DEFAULT_AS_NUMBER } from "../model/bgp.ts";
import { BGP_CONFIGURATION_NAME } from "../model/bgp-objects.ts";
import { asNumberSchema, communitiesSchema, localPreferenceSchema, prefixesSchema } from "./bgp-crd-parts.ts";
import { conditionsSchema, flag, object, ownDefinition, selector, whole } from "./crd-schema.ts";
import { bgpConfigurations } from "./resource.ts";

const advertise = object(
  {
    clusterIPs: flag("ClusterIPs.", { default: false }),
    externalIPs: flag("spec.externalIPs; needs `within`.", { default: false }),
    loadBalancerIPs: flag("Addresses of Services of type LoadBalancer.", { default: false }),
    within: prefixesSchema(
      "Only addresses inside these are announced. Whoever may write a Service chooses its external IPs: without limits the traffic of any address could be drawn here.",
    ),
  },
  "Service addresses that are announced to peers.",
  {
    "x-kubernetes-validations": [
      {
        rule: "!has(self.externalIPs) || !self.externalIPs || has(self.within)",
        message: "externalIPs needs within",
      },
    ],
  },
);

export const BGP_CONFIGURATION_CRD = ownDefinition({
  resource: bgpConfigurations,
  kind: "BGPConfiguration",
  shortNames: ["bgpconfig"],
  description: "BGP on all nodes of the cluster.",
  rules: [
    { rule: `self.metadata.name == '${BGP_CONFIGURATION_NAME}'`, message: "there is one, by the name of default" },
  ],
  spec: object(
    {
      asNumber: { ...asNumberSchema("AS number of the nodes."), default: DEFAULT_AS_NUMBER },
      nodeMesh: flag("Every node has a session with every other one.", { default: true }),
      nodeMeshBFD: flag(
        "Nodes watch each other by BFD (RFC 5880): one that dies is noticed within a second. So is a restart of BIRD, which then is no graceful one.",
        { default: false },
      ),
      routeReflectors: selector(
        "Nodes that pass on routes between the others, which then have sessions with these alone.",
      ),
      communities: communitiesSchema("Set on all that is announced to peers."),
      localPreference: localPreferenceSchema("LOCAL_PREF of what nodes announce inside their AS."),
      advertise,
      listenPort: whole(1, 65_535, "TCP port on which nodes listen, and reach each other.", { default: BGP_PORT }),
    },
    "What is wanted.",
  ),
  status: object({ conditions: conditionsSchema }, "What agents found."),
  columns: [
    { name: "AS", type: "integer", jsonPath: ".spec.asNumber" },
    { name: "Mesh", type: "boolean", jsonPath: ".spec.nodeMesh" },
    { name: "Understood", type: "string", jsonPath: '.status.conditions[?(@.type=="Understood")].status' },
  ],
});
