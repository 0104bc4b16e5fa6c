/** The service's own OpenAPI document, read into what the page shows. Pure. Knows the forms that `contract.py` writes, and no others. */

export interface Schema {
  $ref?: string;
  title?: string;
  description?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  default?: unknown;
  items?: Schema;
  prefixItems?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
}

interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required: boolean;
  description?: string;
  schema: Schema;
}

interface Content {
  content?: Record<string, { schema: Schema }>;
}

interface RawOperation {
  operationId: string;
  summary: string;
  description?: string;
  tags: string[];
  parameters: Parameter[];
  requestBody?: Content & { required: boolean };
  responses: Record<string, Content & { description: string }>;
  "x-roles"?: string[];
}

export interface OpenApi {
  info: { title: string; version: string };
  tags: { name: string }[];
  paths: Record<string, Record<string, RawOperation>>;
  components: { schemas: Record<string, Schema> };
}

export interface Operation {
  id: string;
  method: string;
  path: string;
  summary: string;
  description: string;
  tag: string;
  roles: string[];
  parameters: Parameter[];
  body: { schema: Schema; required: boolean } | null;
  answers: { status: string; words: string; schema: Schema | null }[];
  refusals: { status: string; codes: string[] }[];
}

/** A field of an object, or a parameter, in words. */
export interface Row {
  name: string;
  where: string;
  kind: Kind;
  required: boolean;
  note: string;
}

/** What a value is: words, with the names of the document's own types among them. */
export type Kind = (string | { type: string })[];

const JSON_TYPE = "application/json";
const PROBLEM_TYPE = "application/problem+json";

export function operationsOf(document: OpenApi): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, raw]) => {
      const responses = Object.entries(raw.responses);
      const body = raw.requestBody?.content?.[JSON_TYPE]?.schema;
      return {
        id: raw.operationId,
        method: method.toUpperCase(),
        path,
        summary: raw.summary,
        description: raw.description ?? "",
        tag: raw.tags[0] ?? "",
        roles: raw["x-roles"] ?? [],
        parameters: raw.parameters,
        body: body && raw.requestBody ? { schema: body, required: raw.requestBody.required } : null,
        answers: responses
          .filter(([status]) => status < "400")
          .map(([status, answer]) => ({ status, words: answer.description, schema: answer.content?.[JSON_TYPE]?.schema ?? null })),
        refusals: responses
          .filter(([, answer]) => answer.content?.[PROBLEM_TYPE])
          .map(([status, answer]) => ({ status, codes: answer.description.split(", ") })),
      };
    }),
  );
}

export function nameOfRef(schema: Schema): string | null {
  return schema.$ref?.split("/").pop() ?? null;
}

export function resolve(schema: Schema, document: OpenApi): Schema {
  const name = nameOfRef(schema);
  return name ? (document.components.schemas[name] ?? {}) : schema;
}

export function kindOf(schema: Schema): Kind {
  const name = nameOfRef(schema);
  if (name) return [{ type: name }];
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" | ")];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  const choices = schema.anyOf ?? schema.allOf;
  if (choices) return choices.flatMap((choice, index) => [...(index ? [" | "] : []), ...kindOf(choice)]);
  if (schema.type === "array") return schema.items ? ["list of ", ...kindOf(schema.items)] : ["list"];
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return ["map to ", ...kindOf(schema.additionalProperties)];
  return [[schema.type ?? "anything"].flat().join(" | ")];
}

/** What a value must be like besides its kind: lengths, limits, pattern, default. */
export function limitsOf(schema: Schema): string {
  const { minLength, maxLength, minimum, maximum } = schema;
  const parts = [];
  if (minLength !== undefined || maxLength !== undefined) parts.push(`${minLength ?? 0}–${maxLength ?? "…"} characters`);
  if (minimum !== undefined || maximum !== undefined) parts.push(`${minimum ?? "…"} to ${maximum ?? "…"}`);
  if (schema.pattern) parts.push(schema.pattern);
  if (schema.default !== undefined && schema.default !== null && schema.default !== "") parts.push(`default ${JSON.stringify(schema.default)}`);
  return parts.join(" · ");
}

function noteOf(schema: Schema, description = schema.description): string {
  const limits = [limitsOf(schema), ...(schema.anyOf ?? []).map(limitsOf)].filter(Boolean).join(" · ");
  return [description, limits].filter(Boolean).join(" ");
}

export function rowsOf(schema: Schema): Row[] {
  return Object.entries(schema.properties ?? {}).map(([name, field]) => ({
    name,
    where: "",
    kind: kindOf(field),
    required: schema.required?.includes(name) ?? false,
    note: noteOf(field),
  }));
}

export function parameterRows(operation: Operation): Row[] {
  return operation.parameters.map((parameter) => ({
    name: parameter.name,
    where: parameter.in,
    kind: kindOf(parameter.schema),
    required: parameter.required,
    note: noteOf(parameter.schema, parameter.description),
  }));
}

/** One line for a shell that tries the operation; `known` fills what this installation can tell, the rest stays in capitals. */
export function curlOf(operation: Operation, document: OpenApi, origin: string, known: Record<string, string>): string {
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => known[name] ?? name.toUpperCase());
  const words = ["curl"];
  const isStream = operation.path.endsWith("/stream");
  if (isStream) words.push("-N", "-H 'Accept: text/event-stream'");
  if (operation.method !== "GET") words.push("-X", operation.method);
  if (operation.roles.length) words.push("-H 'Authorization: Bearer TOKEN'");
  if (operation.parameters.some((parameter) => parameter.name === "Idempotency-Key")) words.push('-H "Idempotency-Key: $(uuidgen)"');
  if (operation.body) {
    const example = JSON.stringify(exampleOf(operation.body.schema, document)).replaceAll("'", "’");
    words.push("-H 'Content-Type: application/json'", `-d '${example}'`);
  }
  words.push(`'${origin}${path}'`);
  return words.join(" ");
}

/** The least that the service takes. */
function exampleOf(schema: Schema, document: OpenApi): unknown {
  const whole = resolve(schema, document);
  if (whole.enum) return whole.enum[0];
  if (whole.anyOf) return exampleOf(whole.anyOf[0] ?? {}, document);
  switch (whole.type) {
    case "object":
      return Object.fromEntries(
        Object.entries(whole.properties ?? {})
          .filter(([name]) => whole.required?.includes(name))
          .map(([name, field]) => [name, field.type === "string" && !field.enum ? name.toUpperCase() : exampleOf(field, document)]),
      );
    case "array":
      return [];
    case "boolean":
      return true;
    case "integer":
    case "number":
      return whole.minimum ?? 0;
    default:
      return "…";
  }
}
