/** The definitions of our own kinds: tools/reference.ts writes them to deploy/crds, and the lab installs them. */
import { BGP_CONFIGURATION_CRD } from "./bgp-configuration-crd.ts";
import { BGP_PEER_CRD } from "./bgp-peer-crd.ts";
import { LOAD_BALANCER_POOL_CRD } from "./load-balancer-pool-crd.ts";

export const OWN_CRDS = [BGP_PEER_CRD, BGP_CONFIGURATION_CRD, LOAD_BALANCER_POOL_CRD];
