/**
 * breakwater.dev/v1alpha1 BGPConfiguration -> {@link BgpConfigurationObject}. A configuration that is not understood where it
 * says who nodes are, or with whom they speak, cannot be used: nodes of another AS would end every session.
 */
import { type BgpClusterConfig, DEFAULT_BGP_CONFIG } from "../model/bgp.ts";
import { BGP_CONFIGURATION_NAME, type BgpConfigurationObject } from "../model/bgp-objects.ts";
import { LARGEST_NUMBER } from "./bgp-crd-parts.ts";
import { asObject, type JsonObject, typeName } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import {
  allowedPrefixes,
  asNumberField,
  bgpObjectHead,
  boundedField,
  communitiesField,
  present,
} from "./parse-bgp-fields.ts";
import { booleanField } from "./parse-fields.ts";
import { isAbsent, parseSelector } from "./parse-selector.ts";

type Advertise = BgpClusterConfig["advertise"];

export function parseBgpConfiguration(object: JsonObject, report: ReportField): BgpConfigurationObject {
  const head = bgpObjectHead(object, report);
  if (head.name !== BGP_CONFIGURATION_NAME) {
    report("metadata.name", `only the BGPConfiguration "${BGP_CONFIGURATION_NAME}" counts, this one does nothing`);
    return head;
  }
  const fields = asObject(object["spec"]) ?? {};
  let isSafe = true;
  const strict: ReportField = (field, why) => {
    isSafe = false;
    report(field, `${why}: the configuration is not used`);
  };
  const reflectors = fields["routeReflectors"];
  const preference = { low: 0, high: LARGEST_NUMBER };
  const config: BgpClusterConfig = {
    asNumber: asNumberField(fields["asNumber"], "spec.asNumber", strict) ?? DEFAULT_BGP_CONFIG.asNumber,
    nodeMesh: booleanField(fields["nodeMesh"], DEFAULT_BGP_CONFIG.nodeMesh, "spec.nodeMesh", strict) ?? false,
    nodeMeshBfd: booleanField(fields["nodeMeshBFD"], false, "spec.nodeMeshBFD", report) ?? false,
    communities: communitiesField(fields["communities"], "spec.communities", strict) ?? [],
    advertise: parseAdvertise(fields["advertise"], report),
    listenPort:
      boundedField(fields["listenPort"], { low: 1, high: 65_535 }, "spec.listenPort", strict) ??
      DEFAULT_BGP_CONFIG.listenPort,
    ...present({
      routeReflectors: isAbsent(reflectors) ? undefined : parseSelector(reflectors, "spec.routeReflectors", strict),
      localPreference: boundedField(fields["localPreference"], preference, "spec.localPreference", report),
    }),
  };
  return isSafe ? { ...head, config } : head;
}

/** What cannot be understood announces nothing. */
function parseAdvertise(value: unknown, report: ReportField): Advertise {
  if (isAbsent(value)) return DEFAULT_BGP_CONFIG.advertise;
  const fields = asObject(value);
  if (fields === undefined) {
    report("spec.advertise", `expected an object, found ${typeName(value)}`);
    return DEFAULT_BGP_CONFIG.advertise;
  }
  const is = (field: string) => booleanField(fields[field], false, `spec.advertise.${field}`, report) ?? false;
  const listed = fields["within"];
  const within = isAbsent(listed) ? undefined : allowedPrefixes(listed, "spec.advertise.within", report);
  const externalIPs = is("externalIPs");
  if (externalIPs && within === undefined) {
    const why = "whoever may write a Service could draw the traffic of any address here: no external IP is announced";
    report("spec.advertise.within", `it is missing, and externalIPs needs it: ${why}`);
  }
  return {
    clusterIPs: is("clusterIPs"),
    externalIPs: externalIPs && within !== undefined,
    loadBalancerIPs: is("loadBalancerIPs"),
    ...(within === undefined ? {} : { within }),
  };
}
