/**
 * The CustomResourceDefinition of LoadBalancerPools (breakwater.dev/v1alpha1). tools/reference.ts writes it to deploy/, and
 * the lab installs it.
 */
import { conditionsSchema, flag, list, object, ownDefinition, selector, text, whole } from "./crd-schema.ts";
import { loadBalancerPools } from "./resource.ts";

export const MOST_RANGES = 100;
/** Two IPv6 addresses of eight groups, and what is between them. */
const RANGE_LENGTH = 81;

const IS_CIDR = "isCIDR(self)";
const IS_RANGE = [
  "self.split('-').size() == 2",
  "self.split('-').all(end, isIP(end.trim()))",
  "ip(self.split('-')[0].trim()).family() == ip(self.split('-')[1].trim()).family()",
].join(" && ");

const count = (description: string) => whole(0, Number.MAX_SAFE_INTEGER, description);

export const LOAD_BALANCER_POOL_CRD = ownDefinition({
  resource: loadBalancerPools,
  kind: "LoadBalancerPool",
  shortNames: ["lbpool"],
  description: "Addresses that Services of type LoadBalancer get.",
  spec: object(
    {
      addresses: list(
        text("192.0.2.0/24, 2001:db8::/64, or 192.0.2.10-192.0.2.20 with both ends.", {
          minLength: 2,
          maxLength: RANGE_LENGTH,
          "x-kubernetes-validations": [
            { rule: `${IS_CIDR} || (${IS_RANGE})`, message: "it is neither a CIDR nor FIRST-LAST" },
          ],
        }),
        "Addresses, given out in this order. All addresses of a CIDR count, its first and last, too.",
        { maxItems: MOST_RANGES, "x-kubernetes-list-type": "set" },
      ),
      autoAssign: flag("Services that ask for no pool and no address get theirs from it.", { default: true }),
      avoidBuggyIPs: flag("Leaves out IPv4 addresses that end with .0 and .255.", { default: false }),
      namespaceSelector: selector("Namespaces whose Services may have its addresses; absent: all."),
      serviceSelector: selector("Services that may have its addresses; absent: all."),
    },
    "What is wanted.",
    { required: ["addresses"] },
  ),
  status: object(
    {
      conditions: conditionsSchema,
      assignedIPv4: count("IPv4 addresses that Services have."),
      assignedIPv6: count("IPv6 addresses that Services have."),
      availableIPv4: count("IPv4 addresses that are free."),
      availableIPv6: count("IPv6 addresses that are free; at most 2^53 - 1."),
    },
    "What the agent that allocates found.",
  ),
  columns: [
    { name: "Assigned", type: "integer", jsonPath: ".status.assignedIPv4" },
    { name: "Free", type: "integer", jsonPath: ".status.availableIPv4" },
    { name: "Assigned6", type: "integer", jsonPath: ".status.assignedIPv6" },
    { name: "Usable", type: "string", jsonPath: '.status.conditions[?(@.type=="Usable")].status' },
    { name: "Addresses", type: "string", jsonPath: ".spec.addresses" },
  ],
});
