/**
 * The part of JSONPath that printer columns use: `.spec.size`, `['key']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`.
 */
import { isFields, listOf } from "../object/object.ts";

/** Stands for an escaped dot while the path is read: a private-use character that no name has. */
const ESCAPED_DOT = "\ue000";

type Step = (values: readonly unknown[]) => unknown[];

const TOKEN =
  /\.?([A-Za-z_$][\w$-]*)|\.?\[['"]([^'"]*)['"]\]|\[(-?\d+)\]|\.?(\[\*\]|\*)|\[\?\(\s*@\.([\w.-]+)\s*(==|!=)\s*['"]?([^'")]*?)['"]?\s*\)\]/y;

/** A compiled path; undefined when the text uses what is not understood. */
export function compileJsonPath(text: string): ((value: unknown) => unknown[]) | undefined {
  const path = text.replace(/^\{|\}$/g, "").replaceAll("\\.", ESCAPED_DOT);
  const steps: Step[] = [];
  let position = 0;
  while (position < path.length) {
    TOKEN.lastIndex = position;
    const match = escapedName(path, position) ?? TOKEN.exec(path);
    if (match === null) return undefined;
    steps.push(stepOf(match));
    position += match[0].length;
  }
  return (value) => steps.reduce((values, step) => step(values), [value]);
}

/** `.metadata.annotations.example\.com/key`: escaped dots belong to the name. */
function escapedName(path: string, position: number): RegExpExecArray | null {
  const sticky = new RegExp(String.raw`\.([\w$/-]*${ESCAPED_DOT}[\w$/${ESCAPED_DOT}-]*)`, "y");
  sticky.lastIndex = position;
  return sticky.exec(path);
}

function stepOf(match: RegExpExecArray): Step {
  const [, name, quoted, index, star, field = "", operator, wanted] = match;
  const key = (name ?? quoted)?.replaceAll(ESCAPED_DOT, ".");
  if (key !== undefined)
    return (values) => values.flatMap((value) => (isFields(value) && key in value ? [value[key]] : []));
  if (index !== undefined) return (values) => values.flatMap((value) => listOf(value).slice(Number(index)).slice(0, 1));
  if (star !== undefined)
    return (values) => values.flatMap((value) => (isFields(value) ? Object.values(value) : listOf(value)));
  const path = field.split(".");
  return (values) =>
    values.flatMap((value) =>
      listOf(value).filter((item) => {
        const found = path.reduce((current: unknown, part) => (isFields(current) ? current[part] : undefined), item);
        return (String(found) === wanted) === (operator === "==");
      }),
    );
}
