/**
 * The rules for names, labels and keys (k8s.io/apimachinery/pkg/util/validation). Each check returns what is wrong in
 * the API's words, or undefined.
 */

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE = `(${QUALIFIED})?`;
const CONFIG_KEY = "[-._a-zA-Z0-9]+";
const ENV_NAME = "[ -<>-~]+";
const PORT_NAME = "[a-z0-9]([a-z0-9-]*[a-z0-9])?";

type Fault = string | undefined;

function regexHint(pattern: string, ...examples: readonly string[]): string {
  const list = examples.map((example) => `'${example}'`).join(", or ");
  return `(e.g. ${list}, regex used for validation is '${pattern}')`;
}

function matches(pattern: string, text: string): boolean {
  return new RegExp(`^(?:${pattern})$`).test(text);
}

/** RFC 1123 label: a namespace, a container. */
export function labelFault(name: string): Fault {
  if (name.length > 63) return "must be no more than 63 characters";
  if (matches(LABEL, name)) return undefined;
  const rule = "must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric";
  return `a lowercase RFC 1123 label ${rule} character ${regexHint(LABEL, "my-name", "123-abc")}`;
}

/** RFC 1035 label: a Service. */
export function label1035Fault(name: string): Fault {
  if (name.length > 63) return "must be no more than 63 characters";
  if (matches(LABEL_1035, name)) return undefined;
  const rule = "must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end";
  return `a DNS-1035 label ${rule} with an alphanumeric character ${regexHint(LABEL_1035, "my-name", "abc-123")}`;
}

/** RFC 1123 subdomain: most objects. */
export function subdomainFault(name: string): Fault {
  if (name.length > 253) return "must be no more than 253 characters";
  if (matches(SUBDOMAIN, name)) return undefined;
  const rule = "must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an";
  return `a lowercase RFC 1123 subdomain ${rule} alphanumeric character ${regexHint(SUBDOMAIN, "example.com")}`;
}

/** A name that only has to be one segment of a path: objects whose name comes from elsewhere. */
export function pathSegmentFault(name: string): Fault {
  if (name === "." || name === "..") return `may not be '${name}'`;
  return /[/%]/.test(name) ? "may not contain '/' or '%'" : undefined;
}

/** A label key: "name" or "prefix/name". */
export function qualifiedNameFault(key: string): Fault {
  const slash = key.indexOf("/");
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  if (prefix !== undefined && subdomainFault(prefix) !== undefined) return `prefix part ${subdomainFault(prefix)}`;
  if (name === "") return "name part must be non-empty";
  if (name.length > 63) return "name part must be no more than 63 characters";
  if (matches(QUALIFIED, name)) return undefined;
  const rule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric";
  return `name part ${rule} character ${regexHint(QUALIFIED, "MyName", "my.name", "123-abc")}`;
}

export function labelValueFault(value: string): Fault {
  if (value.length > 63) return "must be no more than 63 characters";
  if (matches(LABEL_VALUE, value)) return undefined;
  const rule = "must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end";
  return `a valid label ${rule} with an alphanumeric character ${regexHint(LABEL_VALUE, "MyValue", "my_value", "12345")}`;
}

/** A key of a ConfigMap or Secret. */
export function configKeyFault(key: string): Fault {
  if (key.length > 253) return "must be no more than 253 characters";
  if (key === "." || key === ".." || key.startsWith("..")) return `must not be '${key}'`;
  if (matches(CONFIG_KEY, key)) return undefined;
  const rule = "must consist of alphanumeric characters, '-', '_' or '.'";
  return `a valid config key ${rule} ${regexHint(CONFIG_KEY, "key.name", "KEY_NAME", "key-name")}`;
}

export function envNameFault(name: string): Fault {
  return matches(ENV_NAME, name)
    ? undefined
    : "a valid environment variable name must consist only of printable ASCII characters other than '='";
}

/** IANA service name, RFC 6335 section 5.1: at most 15 characters with at least one letter. */
export function portNameFault(name: string): Fault {
  if (name.length > 15) return "must be no more than 15 characters";
  if (!matches(PORT_NAME, name) || name.includes("--")) {
    return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-), not at its ends and not twice in a row";
  }
  return /[a-z]/.test(name) ? undefined : "must contain at least one letter (a-z)";
}

export function portNumberFault(port: unknown): Fault {
  const fits = typeof port === "number" && Number.isInteger(port) && port >= 1 && port <= 65535;
  return fits ? undefined : "must be between 1 and 65535, inclusive";
}
