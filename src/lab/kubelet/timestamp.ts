/** Now, as the API writes times: RFC 3339 in whole seconds. */
export function timestamp(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}
