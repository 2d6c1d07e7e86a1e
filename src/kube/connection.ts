/**
 * What a client must know to talk to one API server, whichever way it was configured (kubeconfig or in-cluster).
 * Credentials are asked for before every request, because tokens and certificates rotate under a running agent.
 */

/** What identifies us on one request. Absent fields are not sent. */
export interface Credentials {
  /** The Authorization header: "Bearer …" or "Basic …". */
  readonly authorization?: string;
  /** Client certificate and key, PEM. */
  readonly cert?: string;
  readonly key?: string;
}

export interface CredentialSource {
  credentials(): Promise<Credentials>;
  /** The server answered 401: whatever is cached is no longer good. */
  invalidate(): void;
}

/** Identity to act as: the Impersonate-* headers. */
export interface Impersonation {
  readonly user: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export interface ApiConnection {
  /** Where this came from, for messages: "kubeconfig /etc/kubernetes/admin.conf, context "a"". */
  readonly origin: string;
  /** Base URL; may have a path, which prefixes every request. */
  readonly server: URL;
  /** Certificate authorities, PEM. Absent: those of Node and of the operating system. */
  readonly ca?: string;
  readonly insecureSkipTlsVerify: boolean;
  /** Name to ask for (SNI) and to verify instead of the server's host. */
  readonly tlsServerName?: string;
  /** HTTP proxy; overrides the environment's HTTPS_PROXY, HTTP_PROXY and NO_PROXY. */
  readonly proxyUrl?: string;
  /** The context's namespace; "default" where it names none. */
  readonly namespace: string;
  readonly impersonation?: Impersonation;
  readonly credentialSource: CredentialSource;
}

/** Requests without any identity: what a server that asks for none gets. */
export const anonymous: CredentialSource = {
  credentials: () => Promise.resolve({}),
  invalidate: () => {},
};
