/** What the definitions of BGPPeers and BGPConfigurations have in common, with the limits of src/model/bgp.ts. */
import { LARGEST_AS_NUMBER } from "../model/bgp.ts";
import { list, type Schema, text, whole } from "./crd-schema.ts";

/** Longest CIDR: an IPv6 address with eight groups and three digits of length. */
const CIDR_LENGTH = 43;
export const MOST_PREFIXES = 1000;
export const MOST_COMMUNITIES = 50;
export const LARGEST_NUMBER = 0xffff_ffff;

export const asNumberSchema = (description: string): Schema => whole(1, LARGEST_AS_NUMBER, description);

export const localPreferenceSchema = (description: string): Schema => whole(0, LARGEST_NUMBER, description);

export const communitiesSchema = (description: string): Schema =>
  list(
    text("64512:100 (RFC 1997), or 64512:1:2 (a large community, RFC 8092).", {
      pattern: String.raw`^\d{1,10}:\d{1,10}(:\d{1,10})?$`,
    }),
    description,
    { maxItems: MOST_COMMUNITIES, "x-kubernetes-list-type": "set" },
  );

export const prefixesSchema = (description: string): Schema =>
  list(
    text("IPv4 or IPv6, as 10.0.0.0/8 or fd00::/8; not all addresses of a family.", {
      maxLength: CIDR_LENGTH,
      pattern: String.raw`^[0-9A-Fa-f:.]+/([1-9]\d{0,2})$`,
      "x-kubernetes-validations": [{ rule: "isCIDR(self)", message: "it is no CIDR" }],
    }),
    description,
    { maxItems: MOST_PREFIXES, "x-kubernetes-list-type": "set" },
  );
