/**
 * A certificate for the lab's API, made anew for every lab by openssl(1). It signs itself, so it is its own authority:
 * whoever has the kubeconfig trusts this one certificate and no other.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { BreakwaterError, messageOf } from "../model/errors.ts";

export interface LabCertificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

const LIFETIME_DAYS = 365;
const NAMES = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/** @param addresses IP addresses that clients may use for the server, beside its names */
export async function makeCertificate(addresses: readonly string[]): Promise<LabCertificate> {
  const names = [...NAMES.map((name) => `DNS:${name}`), ...addresses.map((address) => `IP:${address}`)];
  const args = ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  args.push(
    "-days",
    String(LIFETIME_DAYS),
    "-subj",
    "/CN=breakwater-lab",
    "-addext",
    `subjectAltName=${names.join(",")}`,
  );
  args.push("-keyout", "-", "-out", "-");
  const pem = await runOpenssl(args);
  const part = (label: RegExp) => pem.match(label)?.[0] ?? "";
  return {
    cert: `${part(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/)}\n`,
    key: `${part(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/)}\n`,
  };
}

async function runOpenssl(args: readonly string[]): Promise<string> {
  try {
    return (await promisify(execFile)("openssl", [...args])).stdout;
  } catch (cause) {
    throw new BreakwaterError(
      "BW_LAB_CERTIFICATE",
      `Cannot make the lab's certificate with openssl: ${messageOf(cause)}`,
      {
        operation: "make certificate",
        object: "lab API",
        cause,
        remedy: "Install openssl (apt-get install openssl)",
      },
    );
  }
}
