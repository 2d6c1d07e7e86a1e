/** A metav1.Status, as API servers answer what they refuse. */
export function statusObject(code: number, reason: string): Readonly<Record<string, unknown>> {
  return { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message: `scripted ${code}` };
}
