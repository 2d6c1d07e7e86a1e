/**
 * breakwater.dev/v1alpha1 BGPPeer -> {@link BgpPeerObject}. The schema refuses most of what is wrong; this is for what came
 * by another way. Where a session would be another one than was meant, or less safe, there is none, and the object says why;
 * a bad filter lets less through, and other fields fall back to their defaults.
 */
import { type BgpPeerSpec, LARGEST_RESTART_SECONDS, MOST_HOPS, type SecretKey } from "../model/bgp.ts";
import type { BgpPeerObject } from "../model/bgp-objects.ts";
import type { Selector } from "../model/selector.ts";
import { LARGEST_NUMBER } from "./bgp-crd-parts.ts";
import { MOST_OWN_AS } from "./bgp-peer-crd.ts";
import { asArray, asObject, asString, type JsonObject } from "./json.ts";
import type { ReportField } from "./object-reader.ts";
import {
  allowedPrefixes,
  asNumberField,
  bgpObjectHead,
  boundedField,
  communitiesField,
  present,
} from "./parse-bgp-fields.ts";
import { booleanField, unicastIpField } from "./parse-fields.ts";
import { isAbsent, parseSelector } from "./parse-selector.ts";

const PORTS = { low: 1, high: 65_535 };
const HOPS = { low: 2, high: MOST_HOPS };
const RESTART = { low: 0, high: LARGEST_RESTART_SECONDS };
const PREFIXES = { low: 1, high: 10_000_000 };
const PREFERENCE = { low: 0, high: LARGEST_NUMBER };
const OWN_AS = { low: 0, high: MOST_OWN_AS };

export function parseBgpPeer(object: JsonObject, report: ReportField): BgpPeerObject {
  const head = { ...bgpObjectHead(object, report), ...reporters(object) };
  const fields = asObject(object["spec"]) ?? {};
  let isSafe = true;
  const strict: ReportField = (field, why) => {
    isSafe = false;
    report(field, `${why}: there is no session`);
  };
  const who = whoItIs(fields, strict);
  const how = howItIsReached(fields, strict, report);
  const communities = communitiesField(fields["communities"], "spec.communities", strict);
  const filters = {
    importAllow: allowedPrefixes(fields["importAllow"], "spec.importAllow", report),
    exportAllow: allowedPrefixes(fields["exportAllow"], "spec.exportAllow", report),
    ...present({
      maxPrefixes: boundedField(fields["maxPrefixes"], PREFIXES, "spec.maxPrefixes", report),
      localPreference: boundedField(fields["localPreference"], PREFERENCE, "spec.localPreference", report),
      allowOwnAs: boundedField(fields["allowOwnAS"], OWN_AS, "spec.allowOwnAS", report),
      communities: communities?.length === 0 ? undefined : communities,
    }),
  };
  if (!isSafe || who === undefined) return head;
  return { ...head, spec: { name: head.name, ...who, ...how, ...filters } };
}

/** What agents themselves wrote: nothing of it is a problem of whoever wrote the peer. */
function reporters(object: JsonObject): Pick<BgpPeerObject, "reporters"> {
  const sessions = asArray(asObject(object["status"])?.["sessions"]) ?? [];
  const nodes = sessions.flatMap((session) => asString(asObject(session)?.["node"]) ?? []);
  return nodes.length === 0 ? {} : { reporters: nodes };
}

type Who = Pick<BgpPeerSpec, "address" | "asNumber" | "nodes">;

function whoItIs(fields: JsonObject, strict: ReportField): Who | undefined {
  for (const field of ["address", "asNumber"]) if (isAbsent(fields[field])) strict(`spec.${field}`, "it is missing");
  const address = isAbsent(fields["address"]) ? undefined : unicastIpField(fields["address"], "spec.address", strict);
  const asNumber = asNumberField(fields["asNumber"], "spec.asNumber", strict);
  const nodes = nodeSelector(fields["nodeSelector"], strict);
  return address === undefined || asNumber === undefined || nodes === undefined
    ? undefined
    : { address, asNumber, nodes };
}

function nodeSelector(value: unknown, strict: ReportField): Selector | undefined {
  return isAbsent(value) ? [] : parseSelector(value, "spec.nodeSelector", strict);
}

type How = Partial<
  Pick<
    BgpPeerSpec,
    "port" | "localAsNumber" | "multihop" | "ttlSecurity" | "passwordSecret" | "bfd" | "gracefulRestart"
  >
>;

function howItIsReached(fields: JsonObject, strict: ReportField, report: ReportField): How {
  const seconds = boundedField(fields["gracefulRestartSeconds"], RESTART, "spec.gracefulRestartSeconds", report);
  const multihop = boundedField(fields["multihop"], HOPS, "spec.multihop", strict);
  const ttlSecurity = onlyTrue(booleanField(fields["ttlSecurity"], false, "spec.ttlSecurity", strict));
  if (ttlSecurity && multihop === MOST_HOPS)
    strict("spec.multihop", `ttlSecurity with ${MOST_HOPS} hops drops nothing: give the hops that there are`);
  return present({
    port: boundedField(fields["port"], PORTS, "spec.port", strict),
    localAsNumber: asNumberField(fields["localASNumber"], "spec.localASNumber", strict),
    multihop,
    ttlSecurity,
    passwordSecret: secretKey(fields["passwordSecret"], strict),
    bfd: onlyTrue(booleanField(fields["bfd"], false, "spec.bfd", report)),
    gracefulRestart: seconds,
  });
}

/** False is the default: absent is the same. */
function onlyTrue(value: boolean | undefined): true | undefined {
  return value === true ? true : undefined;
}

/** A session without the password that was meant would be open to everybody. */
function secretKey(value: unknown, strict: ReportField): SecretKey | undefined {
  if (isAbsent(value)) return undefined;
  const fields = asObject(value) ?? {};
  const [namespace, name, key] = ["namespace", "name", "key"].map((field) => asString(fields[field]) ?? "");
  if (!isAbsent(fields["namespace"]) && !namespace) strict("spec.passwordSecret.namespace", "it is no name");
  if (!name) strict("spec.passwordSecret.name", "it is missing");
  if (!key) strict("spec.passwordSecret.key", "it is missing");
  return name && key ? { ...(namespace ? { namespace } : {}), name, key } : undefined;
}
