/**
 * From a client's JSON to an object of a kind: shape, apiVersion and kind, unknown fields.
 */
import { clone, type Fields, fieldsOf, isFields, type KubeObject } from "../object/object.ts";
import { badRequest } from "../object/status.ts";
import { apiVersionOf, type Resource } from "../resources/resource.ts";
import { decode } from "../schema/decode.ts";
import { reportUnknownFields, type WriteOptions } from "./write-options.ts";

/**
 * Decodes and prunes; fields come out in the order kind, apiVersion, metadata, the rest.
 * @throws StatusError 400 for another kind, wrong types and, with fieldValidation=Strict, unknown fields
 */
export function decodeObject(resource: Resource, input: unknown, options: WriteOptions): KubeObject {
  if (!isFields(input)) throw badRequest("the object provided is unrecognized (must be of type JSON object)");
  checkKind(resource, input);
  const subject = `${resource.kind} in version "${resource.version}" cannot be handled as a ${resource.kind}:`;
  const { value, unknownFields } = decode(input, resource.schema, subject, resource.custom);
  reportUnknownFields(unknownFields, options);
  const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = value;
  const object = {
    kind: resource.kind,
    apiVersion: apiVersionOf(resource),
    metadata: { ...fieldsOf(metadata) } as unknown as KubeObject["metadata"],
    ...clone(rest),
  };
  return object as KubeObject;
}

function checkKind(resource: Resource, input: Fields): void {
  const { kind, apiVersion } = input;
  const wanted = apiVersionOf(resource);
  if (
    (kind !== undefined && typeof kind !== "string") ||
    (apiVersion !== undefined && typeof apiVersion !== "string")
  ) {
    throw badRequest("couldn't get version/kind; json parse error: apiVersion and kind must be strings");
  }
  if ((kind && kind !== resource.kind) || (apiVersion && apiVersion !== wanted)) {
    const given = `${apiVersion || wanted}, Kind=${kind || resource.kind}`;
    throw badRequest(
      `the object provided (${given}) does not match the resource of the request (${wanted}, Kind=${resource.kind})`,
    );
  }
}
