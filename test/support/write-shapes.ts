// write-shapes.ts: writes src/client/shapes.ts anew from the API's document: `npm run shapes`.

import { writeFileSync } from 'node:fs';
import { openApiDocument } from '../../src/http/openapi.js';
import { typesOf } from './types-of-openapi.js';

const header =
  '// shapes.ts: what the API takes and gives, made from its document (GET /openapi.json) by `npm run shapes`; a test holds the two together.';

writeFileSync('src/client/shapes.ts', `${header}\n\n${typesOf(openApiDocument().components.schemas)}\n`);
