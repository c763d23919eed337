// types-of-openapi.ts: the shapes of an OpenAPI document as TypeScript: what the client's own must be, word for word.

type Schema = { readonly [keyword: string]: unknown };

/** A declaration for each, in order; each line without its indentation. */
export function typesOf(schemas: Readonly<Record<string, Schema>>): string {
  return Object.entries(schemas)
    .map(([name, schema]) => `${comment(schema)}export type ${name} = ${typeOf(schema)};`)
    .join('\n\n');
}

function typeOf(schema: Schema): string {
  const { $ref, type } = schema;
  if (typeof $ref === 'string') return $ref.replace('#/components/schemas/', '');
  if ('const' in schema) return literal(schema.const);
  if (Array.isArray(schema.enum)) return schema.enum.map(literal).join(' | ');
  const choices = (schema.oneOf ?? schema.anyOf) as readonly Schema[] | undefined;
  if (choices !== undefined) return choices.map(typeOf).join(' | ');
  if (Array.isArray(type)) return type.map((each) => typeOf({ ...schema, type: each })).join(' | ');
  if (type === 'array') return `readonly ${grouped(typeOf(schema.items as Schema))}[]`;
  if (type === 'object') return objectOf(schema);
  return typeof type === 'string' ? (type === 'integer' ? 'number' : type) : 'unknown';
}

function objectOf({ properties = {}, required = [] }: Schema): string {
  const fields = Object.entries(properties as Record<string, Schema>).map(([name, schema]) => {
    const mark = (required as readonly string[]).includes(name) ? '' : '?';
    return `${comment(schema)}readonly ${name}${mark}: ${typeOf(schema)};`;
  });
  return `{\n${fields.join('\n')}\n}`;
}

function grouped(type: string): string {
  return type.includes(' | ') ? `(${type})` : type;
}

function literal(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value);
}

function comment({ description }: Schema): string {
  return typeof description === 'string' ? `/** ${description}. */\n` : '';
}
