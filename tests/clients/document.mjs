// What the gateway says of its events, and whether an event is as it says: every name, every field.

import assert from 'node:assert/strict';
import Ajv from 'ajv';

const DIALECTS = ['electron', 'flutter', 'unified'];

// Whoever declares nothing hears the names of both old families.
function channelsOf(dialect) {
  return DIALECTS.includes(dialect) ? [dialect] : ['electron', 'flutter'];
}

let read;

async function load() {
  const response = await fetch(`${process.env.GATEWAY_A}/asyncapi.json`);
  const document = await response.json();
  forbidMore(document);
  const ajv = new Ajv({ strict: false, validateFormats: false });
  ajv.addSchema({ ...document, $id: 'document' });
  const validators = new Map();
  for (const [channel, { messages }] of Object.entries(document.channels)) {
    for (const key of Object.keys(messages)) {
      const { name } = document.components.messages[key];
      const side = key.startsWith('heard') ? 'heard ' : '';
      const payload = `document#/components/messages/${key}/payload`;
      const validate = ajv.compile({ $ref: payload });
      if (!key.startsWith('said')) validators.set(`${channel} ${side}${name}`, validate);
    }
  }
  return validators;
}

// The document lets clients live with fields to come; here every field must be told.
function forbidMore(schema) {
  if (schema === null || typeof schema !== 'object') return;
  Object.values(schema).forEach(forbidMore);
  const isObject = schema.properties && !Array.isArray(schema.properties) && !schema.allOf;
  if (isObject && schema.type && schema.additionalProperties === undefined) {
    schema.additionalProperties = false;
  }
}

function check(validators, what, keys, body) {
  const known = keys.map((key) => validators.get(key)).filter(Boolean);
  assert.ok(known.length > 0, `${what} is not in the document of events: ${JSON.stringify(body)}`);
  const fits = known.some((validate) => validate(body));
  const complaints = known.map(({ errors }) => JSON.stringify(errors)).join('; ');
  assert.ok(fits, `${what} is not as the document says: ${complaints}; ${JSON.stringify(body)}`);
}

export async function checkEvent(label, dialect, name, body) {
  const validators = await (read ??= load());
  const keys = channelsOf(dialect).map((channel) => `${channel} heard ${name}`);
  check(validators, `${name}, heard by ${label}`, keys, body);
}

export async function checkAcknowledgement(label, name, answer) {
  const validators = await (read ??= load());
  const keys = DIALECTS.map((channel) => `${channel} acknowledgement of ${name}`);
  check(validators, `the answer to ${name} of ${label}`, keys, answer);
}
