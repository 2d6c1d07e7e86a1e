/**
 * CNI errors: what a plugin prints when it fails (CNI spec 1.1.0, section "Error"). A runtime shows `msg` in the pod's
 * events and acts on `code`; `details` is for the person: what the system answered and what to do next.
 */
import { BreakwaterError, type ErrorDetails, messageOf } from "../model/errors.ts";

/** Codes 1 to 99 are the spec's, those from 100 on are ours. docs/design/cni.md lists them. */
export const CNI_CODE = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodeFailure: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  /** A fault of the agent itself. */
  internal: 100,
  addressesExhausted: 101,
  /** The address that was asked for cannot be given. */
  addressRefused: 102,
  /** ADD for a container and interface that has an attachment already, and not the same one. */
  alreadyAttached: 103,
  /** The kernel refused to make or to remove the attachment. */
  attachmentFailed: 104,
  /** CHECK found differences. */
  checkFailed: 105,
} as const;

export type CniCode = (typeof CNI_CODE)[keyof typeof CNI_CODE];

/** 11 -> "BW_CNI_TRY_AGAIN_LATER". */
const STABLE_CODES: ReadonlyMap<CniCode, string> = new Map(
  Object.entries(CNI_CODE).map(([name, code]) => [code, `BW_CNI_${name.replace(/[A-Z]/g, "_$&").toUpperCase()}`]),
);

/** A failed CNI command. `cniCode` is what the runtime sees. */
export class CniError extends BreakwaterError {
  readonly cniCode: CniCode;

  constructor(cniCode: CniCode, message: string, details: ErrorDetails & { readonly code?: string } = {}) {
    super(details.code ?? STABLE_CODES.get(cniCode) ?? "BW_CNI", message, details);
    this.name = "CniError";
    this.cniCode = cniCode;
  }
}

/** Errors of other parts that have a CNI code of their own; all others are failed attachments. */
const CODE_OF_ERROR: Readonly<Record<string, CniCode>> = {
  BW_CNI_NETNS: CNI_CODE.invalidEnvironment,
  BW_IPAM_EXHAUSTED: CNI_CODE.addressesExhausted,
  BW_IPAM_NO_CIDR: CNI_CODE.tryAgainLater,
  BW_IPAM_REQUEST: CNI_CODE.addressRefused,
  BW_IPAM_OUTSIDE: CNI_CODE.addressRefused,
  BW_IPAM_RESERVED: CNI_CODE.addressRefused,
  BW_IPAM_IN_USE: CNI_CODE.addressRefused,
  BW_JOURNAL_WRITE: CNI_CODE.ioFailure,
};

export function cniCodeOf(error: unknown): CniCode {
  if (error instanceof CniError) return error.cniCode;
  if (!(error instanceof BreakwaterError)) return CNI_CODE.internal;
  return CODE_OF_ERROR[error.code] ?? CNI_CODE.attachmentFailed;
}

/** The error object of the spec, as the plugin prints it. */
export function formatCniError(error: unknown, cniVersion: string): string {
  return JSON.stringify({ cniVersion, code: cniCodeOf(error), msg: messageOf(error), details: detailsOf(error) });
}

/** Everything an error knows beside its message, in the order a reader asks for it. */
function detailsOf(error: unknown): string {
  if (!(error instanceof BreakwaterError)) return "a fault of the Breakwater agent: see its log";
  const parts = [error.operation, error.object, error.errno, error.code, error.remedy];
  return parts.filter((part) => part !== undefined).join("; ");
}
