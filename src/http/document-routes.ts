// document-routes.ts: the API's own description: the document, and a page that shows it. Owns the page: it is made of files of
// this process alone, and its policy lets it load no others.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { FastifyInstance } from 'fastify';
import { ClaimkeeperError, shown } from '../domain/index.js';
import { openApiDocument } from './openapi.js';

type FileRoute = { Params: { file: string } };

/** Swagger UI sets styles in its elements, and has its icons in its style sheet. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Claimkeeper API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="document"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

const start = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#document',
  deepLinking: true,
  validatorUrl: null,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
});
`;

/** Of the package; found where Node.js finds it. */
const files: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css',
  'swagger-ui-bundle.js': 'text/javascript',
};

export function addDocumentRoutes(app: FastifyInstance): void {
  let text: string | null = null;
  const contents = new Map<string, Buffer>();

  app.get('/openapi.json', { config: { scope: 'open', query: [] } }, async (_request, reply) => {
    text ??= JSON.stringify(openApiDocument());
    return reply.type('application/json').send(text);
  });

  app.get('/docs', { config: { scope: 'open', query: [] } }, async (_request, reply) =>
    reply.header('content-security-policy', policy).type('text/html; charset=utf-8').send(html),
  );

  app.get<FileRoute>('/docs/:file', { config: { scope: 'open', query: [] } }, async ({ params }, reply) => {
    const { file } = params;
    reply.header('x-content-type-options', 'nosniff');
    if (file === 'start.js') return reply.type('text/javascript; charset=utf-8').send(start);
    const type = Object.hasOwn(files, file) ? files[file] : undefined;
    if (type === undefined)
      throw new ClaimkeeperError('ROUTE_NOT_FOUND', `there is no file ${shown(file)} here`);
    const content = contents.get(file) ?? (await contentOf(file));
    contents.set(file, content);
    return reply.type(`${type}; charset=utf-8`).send(content);
  });
}

async function contentOf(file: string): Promise<Buffer> {
  const { resolve } = createRequire(import.meta.url);
  return readFile(resolve(`@fastify/swagger-ui/static/${file}`));
}
