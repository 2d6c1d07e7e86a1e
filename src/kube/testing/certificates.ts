/**
 * A certificate authority for one test run, in memory: server certificates for an address or a name, client
 * certificates by common name. X.509 v3 (RFC 5280) written as DER, as much of it as TLS needs.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { ipBytes } from "../../model/ip.ts";

export interface KeyAndCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface TestAuthority {
  readonly ca: string;
  serverForAddress(ip: string): KeyAndCertificate;
  serverForName(name: string): KeyAndCertificate;
  client(commonName: string): KeyAndCertificate;
}

/** Universal tags of X.690 and the context tags of X.509 that are used here. */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  version: 0xa0,
  extensions: 0xa3,
  dnsName: 0x82,
  ipAddress: 0x87,
} as const;

/** Object identifiers, already encoded. */
const OID = {
  ecdsaWithSha256: "2a8648ce3d040302",
  commonName: "550403",
  basicConstraints: "551d13",
  subjectAltName: "551d11",
} as const;

const HOUR_MS = 3_600_000;

function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const [high, low] = [body.length >> 8, body.length & 0xff];
  // The shortest form, as DER has it and Go insists on.
  const length = body.length < 0x80 ? [low] : high === 0 ? [0x81, low] : [0x82, high, low];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

const oid = (hex: string) => der(TAG.objectIdentifier, Buffer.from(hex, "hex"));
const algorithm = der(TAG.sequence, oid(OID.ecdsaWithSha256));

function distinguishedName(commonName: string): Buffer {
  const value = der(TAG.utf8String, Buffer.from(commonName));
  return der(TAG.sequence, der(TAG.set, der(TAG.sequence, oid(OID.commonName), value)));
}

function time(ms: number): Buffer {
  // 2026-01-02T03:04:05.678Z -> 260102030405Z
  return der(TAG.utcTime, Buffer.from(`${new Date(ms).toISOString().replace(/\D/g, "").slice(2, 14)}Z`));
}

function extension(id: string, value: Buffer): Buffer {
  return der(TAG.sequence, oid(id), der(TAG.octetString, value));
}

interface Subject {
  readonly name: string;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Buffer[];
}

function certificate(subject: Subject, issuer: { readonly name: string; readonly privateKey: KeyObject }): string {
  const serial = Buffer.concat([Buffer.of(1), randomBytes(8)]);
  const body = der(
    TAG.sequence,
    der(TAG.version, der(TAG.integer, Buffer.of(2))),
    der(TAG.integer, serial),
    algorithm,
    distinguishedName(issuer.name),
    der(TAG.sequence, time(Date.now() - HOUR_MS), time(Date.now() + HOUR_MS)),
    distinguishedName(subject.name),
    subject.publicKey.export({ type: "spki", format: "der" }),
    ...(subject.extensions.length === 0 ? [] : [der(TAG.extensions, der(TAG.sequence, ...subject.extensions))]),
  );
  const signature = der(TAG.bitString, Buffer.of(0), sign("sha256", body, issuer.privateKey));
  const base64 = der(TAG.sequence, body, algorithm, signature).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`;
}

export function makeAuthority(): TestAuthority {
  const name = `test authority ${randomBytes(4).toString("hex")}`;
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const isAuthority = der(TAG.sequence, der(TAG.boolean, Buffer.of(0xff)));
  const issue = (subject: string, extensions: readonly Buffer[]): KeyAndCertificate => {
    const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const cert = certificate({ name: subject, publicKey: own.publicKey, extensions }, { name, privateKey });
    return { cert, key: own.privateKey.export({ type: "pkcs8", format: "pem" }) as string };
  };
  const server = (alternative: Buffer) =>
    issue("server", [extension(OID.subjectAltName, der(TAG.sequence, alternative))]);
  return {
    ca: certificate(
      { name, publicKey, extensions: [extension(OID.basicConstraints, isAuthority)] },
      { name, privateKey },
    ),
    serverForAddress: (ip) => server(der(TAG.ipAddress, ipBytes(ip))),
    serverForName: (dnsName) => server(der(TAG.dnsName, Buffer.from(dnsName))),
    client: (commonName) => issue(commonName, []),
  };
}
