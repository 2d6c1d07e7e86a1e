/**
 * Tables of custom resources: the name, then `additionalPrinterColumns`, or the age where there are none.
 */
import { at, type Fields, type KubeObject, listOf, textOf } from "../object/object.ts";
import { AGE_PRINTER, age, type Column, columns, type Printer } from "../table/printer.ts";
import { compileJsonPath } from "./json-path.ts";

export function customPrinter(version: Fields): Printer {
  const definitions = listOf(version["additionalPrinterColumns"]);
  if (definitions.length === 0) return AGE_PRINTER;
  const cells = definitions.map(cellReader);
  return {
    columns: [...columns("Name"), ...definitions.map(columnOf)],
    cells: (object, now) => [object.metadata.name, ...cells.map((read) => read(object, now))],
  };
}

function columnOf(definition: unknown): Column {
  return {
    name: textOf(at(definition, "name")),
    type: textOf(at(definition, "type")),
    format: textOf(at(definition, "format")),
    description: textOf(at(definition, "description")),
    priority: Number(at(definition, "priority") ?? 0),
  };
}

function cellReader(definition: unknown): (object: KubeObject, now: Date) => unknown {
  const read = compileJsonPath(textOf(at(definition, "jsonPath")));
  const type = textOf(at(definition, "type"));
  return (object, now) => {
    const values = read?.(object) ?? [];
    const [first] = values;
    // An absent value leaves the cell empty; kubectl prints null as "<none>".
    if (first === undefined || first === null) return null;
    if (type === "date") return age(first, now);
    if (type === "string") return values.map(cellText).join(",");
    return type === "boolean" || type === "integer" || type === "number" ? first : cellText(first);
  };
}

function cellText(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
