// The document of events itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Parser } from '@asyncapi/parser';
import { GATEWAY_A } from './harness.mjs';

const ERROR = 0;

test('the document of events is what its standard asks for', async () => {
  const response = await fetch(`${GATEWAY_A}/asyncapi.json`);
  const { document, diagnostics } = await new Parser().parse(await response.text());
  const errors = diagnostics.filter(({ severity }) => severity === ERROR);
  assert.deepEqual(errors, []);
  assert.deepEqual(document.channels().all().map((channel) => channel.id()).sort(), [
    'electron',
    'flutter',
    'unified',
  ]);
});
