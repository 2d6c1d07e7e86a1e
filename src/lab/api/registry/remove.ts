/**
 * Delete: at once, after a Pod's grace period (its kubelet ends that), or when the last finalizer goes.
 */
import { at, clone, fieldsOf, type KubeObject, listOf, textOf } from "../object/object.ts";
import { badRequest, conflict, forbidden, type StatusError } from "../object/status.ts";
import type { Resource } from "../resources/resource.ts";
import { type Registry, timestamp } from "./registry.ts";

export interface DeleteOptions {
  readonly dryRun?: boolean;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}

export interface DeleteResult {
  readonly object: KubeObject;
  /** False while finalizers or a grace period hold it. */
  readonly removed: boolean;
}

/** What the NamespaceLifecycle admission plugin keeps. */
const IMMORTAL = new Set(["default", "kube-system", "kube-public"]);

/** Finalizers of the garbage collector, by propagation policy. */
export const FOREGROUND_FINALIZER = "foregroundDeletion";
export const ORPHAN_FINALIZER = "orphan";

export function deleteObject(
  registry: Registry,
  resource: Resource,
  address: { readonly namespace: string | undefined; readonly name: string },
  options: DeleteOptions,
): DeleteResult {
  const old = registry.get(resource, address.namespace, address.name);
  if (resource.storage === "namespaces" && IMMORTAL.has(old.metadata.name)) {
    throw forbidden(resource, old.metadata.name, "this namespace may not be deleted");
  }
  checkPreconditions(resource, old, options);
  const grace = gracePeriod(resource, old, options);
  const next = clone(old);
  addFinalizer(next, options);
  const held = (next.metadata.finalizers ?? []).length > 0 || holdsContent(next);
  if (!held && grace === 0) {
    if (options.dryRun) return { object: old, removed: true };
    return { object: removeObject(registry, resource, next), removed: true };
  }
  if (!markDeleted(registry, next, old, grace) || options.dryRun) return { object: next, removed: false };
  if (resource.storage === "namespaces") next["status"] = { ...fieldsOf(next["status"]), phase: "Terminating" };
  return { object: registry.database.commit(resource.storage, "MODIFIED", next), removed: false };
}

/** Takes the object out of the store; its last state gets the version of the deletion. */
export function removeObject(registry: Registry, resource: Resource, object: KubeObject): KubeObject {
  return registry.database.commit(resource.storage, "DELETED", clone(object));
}

export function badName(given: string, wanted: string): StatusError {
  return badRequest(`the name of the object (${given}) does not match the name on the URL (${wanted})`);
}

function checkPreconditions(resource: Resource, old: KubeObject, { preconditions }: DeleteOptions): void {
  const { uid, resourceVersion } = preconditions ?? {};
  const fail = (what: string, wanted: string, actual: unknown) =>
    conflict(
      resource,
      old.metadata.name,
      `Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${actual}`,
    );
  if (uid && uid !== old.metadata.uid) throw fail("UID", uid, old.metadata.uid);
  if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) {
    throw fail("ResourceVersion", resourceVersion, old.metadata.resourceVersion);
  }
}

/** Only a Pod that some kubelet runs has to be waited for (pkg/registry/core/pod/strategy.go, CheckGracefulDelete). */
function gracePeriod(resource: Resource, object: KubeObject, options: DeleteOptions): number {
  if (resource.storage !== "pods") return 0;
  const phase = textOf(at(object, "status", "phase"));
  if (textOf(at(object, "spec", "nodeName")) === "" || phase === "Failed" || phase === "Succeeded") return 0;
  const grace = options.gracePeriodSeconds ?? at(object, "spec", "terminationGracePeriodSeconds") ?? 30;
  return Math.max(0, Number(grace));
}

function addFinalizer(object: KubeObject, { propagationPolicy }: DeleteOptions): void {
  const wanted = { Foreground: FOREGROUND_FINALIZER, Orphan: ORPHAN_FINALIZER, Background: undefined };
  const finalizer = propagationPolicy === undefined ? undefined : wanted[propagationPolicy];
  const others = (object.metadata.finalizers ?? []).filter(
    (name) => name !== FOREGROUND_FINALIZER && name !== ORPHAN_FINALIZER,
  );
  if (propagationPolicy === undefined) return;
  const finalizers = finalizer === undefined ? others : [...others, finalizer];
  if (finalizers.length === 0) delete object.metadata.finalizers;
  else object.metadata.finalizers = finalizers;
}

/** Sets the time of deletion, or shortens the grace period of one under way. False when nothing changed. */
function markDeleted(registry: Registry, next: KubeObject, old: KubeObject, grace: number): boolean {
  const before = old.metadata.deletionGracePeriodSeconds;
  const underWay = old.metadata.deletionTimestamp !== undefined;
  if (underWay && before !== undefined && grace >= before)
    return next.metadata.finalizers?.length !== old.metadata.finalizers?.length;
  next.metadata.deletionTimestamp = timestamp(new Date(registry.now().getTime() + grace * 1000));
  next.metadata.deletionGracePeriodSeconds = grace;
  if (!underWay && next.metadata.generation !== undefined) next.metadata.generation++;
  return true;
}

/** A namespace stays until spec.finalizers is empty too. */
export function holdsContent(object: KubeObject): boolean {
  return object.kind === "Namespace" && listOf(at(object, "spec", "finalizers")).length > 0;
}

/** The finalize subresource: sets spec.finalizers of a namespace, and lets it go when nothing holds it. */
export function finalizeNamespace(
  registry: Registry,
  resource: Resource,
  name: string,
  finalizers: readonly string[],
): KubeObject {
  const next = clone(registry.get(resource, undefined, name));
  next["spec"] = { ...fieldsOf(next["spec"]), finalizers: [...finalizers] };
  const gone =
    next.metadata.deletionTimestamp !== undefined && !holdsContent(next) && !next.metadata.finalizers?.length;
  return gone ? removeObject(registry, resource, next) : registry.database.commit(resource.storage, "MODIFIED", next);
}
