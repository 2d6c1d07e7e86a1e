/**
 * Pieces of OpenAPI v3 schemas as CustomResourceDefinitions have them ("structural schemas",
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/).
 */

export type Schema = Readonly<Record<string, unknown>>;

/** Items of a list where nothing else is said. */
const MOST = 25;

export const text = (description: string, more: Schema = {}): Schema => ({ type: "string", description, ...more });

export const flag = (description: string, more: Schema = {}): Schema => ({ type: "boolean", description, ...more });

/** A whole number from `minimum` to `maximum`, both included. */
export const whole = (minimum: number, maximum: number, description: string, more: Schema = {}): Schema => ({
  type: "integer",
  format: maximum > 0x7f_ff_ff_ff ? "int64" : "int32",
  minimum,
  maximum,
  description,
  ...more,
});

export const list = (items: Schema, description: string, more: Schema = {}): Schema => ({
  type: "array",
  description,
  minItems: 1,
  maxItems: MOST,
  items,
  ...more,
});

export const object = (properties: Schema, description: string, more: Schema = {}): Schema => ({
  type: "object",
  description,
  properties,
  ...more,
});

/** Exactly one of the fields. */
export const oneOf = (properties: Schema, description: string): Schema =>
  object(properties, description, { minProperties: 1, maxProperties: 1 });

/** meta/v1 LabelSelector. */
export function selector(description: string): Schema {
  const requirement = object(
    {
      key: text("Label that is looked at."),
      operator: text("In, NotIn, Exists or DoesNotExist."),
      values: {
        type: "array",
        description: "For In and NotIn: at least one. For the others: none.",
        items: { type: "string" },
        "x-kubernetes-list-type": "atomic",
      },
    },
    "One requirement on one label.",
    { required: ["key", "operator"] },
  );
  return object(
    {
      matchLabels: {
        type: "object",
        description: "Labels that must be there, with these values.",
        additionalProperties: { type: "string" },
      },
      matchExpressions: {
        type: "array",
        description: "Requirements that all have to hold.",
        items: requirement,
        "x-kubernetes-list-type": "atomic",
      },
    },
    description,
    { "x-kubernetes-map-type": "atomic" },
  );
}

/** meta/v1 Condition. */
export const conditionSchema: Schema = object(
  {
    type: text("What it is about.", { maxLength: 316 }),
    status: text("Whether it holds.", { enum: ["True", "False", "Unknown"] }),
    reason: text("One word for programs.", { minLength: 1, maxLength: 1024 }),
    message: text("Sentences for people.", { maxLength: 32_768 }),
    lastTransitionTime: text("Since when.", { format: "date-time" }),
    observedGeneration: {
      type: "integer",
      format: "int64",
      minimum: 0,
      description: "metadata.generation of the object that it speaks of.",
    },
  },
  "One aspect of the object's state.",
  { required: ["type", "status", "reason", "message", "lastTransitionTime"] },
);

/** `status.conditions`, one of a type. */
export const conditionsSchema: Schema = {
  type: "array",
  description: "What agents found, one of a type.",
  items: conditionSchema,
  "x-kubernetes-list-type": "map",
  "x-kubernetes-list-map-keys": ["type"],
};

/** A definition of the group breakwater.dev, of one version, with a status. */
export interface OwnDefinition {
  readonly resource: { readonly group: string; readonly version: string; readonly plural: string };
  readonly kind: string;
  readonly shortNames: readonly string[];
  readonly description: string;
  readonly spec: Schema;
  readonly status: Schema;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly jsonPath: string }[];
  /** CEL rules on the whole object. */
  readonly rules?: readonly { readonly rule: string; readonly message: string }[];
}

/** apiextensions.k8s.io/v1 CustomResourceDefinition of a cluster-wide kind. */
export function ownDefinition({ resource, kind, shortNames, description, ...parts }: OwnDefinition) {
  const { group, plural, version } = resource;
  const { spec, status, columns, rules } = parts;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: "Cluster",
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase(), shortNames },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            ...columns,
            { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
          ],
          schema: {
            openAPIV3Schema: object(
              {
                apiVersion: { type: "string" },
                kind: { type: "string" },
                metadata: { type: "object" },
                spec,
                status,
              },
              description,
              {
                required: ["metadata", "spec"],
                ...(rules === undefined ? {} : { "x-kubernetes-validations": rules }),
              },
            ),
          },
        },
      ],
    },
  };
}
