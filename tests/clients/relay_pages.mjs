// The credentials that the suite gives out open a real TURN server, and no others do; two pages that may
// go no other way see each other through it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { GATEWAY_A, GATEWAY_B, INSTANT, expectStatus, logins } from './harness.mjs';
import { Phone, withBrowser } from './pages.mjs';

const { TURN_PORT, TURN_SECRET } = process.env;

// Sends a few packets through the server; returns whether it let them.
function allocates(username, credential) {
  const args = ['-y', '-n', '5', '-m', '1', '-p', TURN_PORT, '-u', username, '-w', credential];
  return new Promise((resolve) => {
    execFile('turnutils_uclient', [...args, '127.0.0.1'], { timeout: 20_000 }, (error) => {
      if (error?.code === 'ENOENT') throw error;
      resolve(!error);
    });
  });
}

const [u1, u2] = await logins(2);
await u1.openConversation(u2);

const answer = expectStatus(await u1.http.get('/api/calls/ice-servers'), 200);
assert.match(answer.expiresAt, INSTANT);
const lifetime = Date.parse(answer.expiresAt) - Date.now();
assert.ok(lifetime > 0 && lifetime < 24 * 3_600_000, answer.expiresAt);
const relay = answer.iceServers.find(({ urls }) => urls.some((url) => url.startsWith('turn:')));
assert.ok(relay, JSON.stringify(answer));

const expired = `${Math.floor(Date.now() / 1000) - 60}:${u1.id}`;
const signed = createHmac('sha1', TURN_SECRET).update(expired).digest('base64');
const [right, wrong, late] = await Promise.all([
  allocates(relay.username, relay.credential),
  allocates(relay.username, signed),
  allocates(expired, signed),
]);
assert.deepEqual({ right, wrong, late }, { right: true, wrong: false, late: false });

await withBrowser(async (browser) => {
  const configuration = { iceServers: answer.iceServers, iceTransportPolicy: 'relay' };
  const other = expectStatus(await u2.http.get('/api/calls/ice-servers'), 200);
  const [p1, p2] = await Promise.all([
    Phone.open(browser, 'caller', GATEWAY_A, u1, configuration),
    Phone.open(browser, 'callee', GATEWAY_B, u2, {
      ...configuration,
      iceServers: other.iceServers,
    }),
  ]);
  await p1.call(u2);
  await Promise.all([p1.sees(), p2.sees()]);
  for (const phone of [p1, p2]) {
    assert.equal((await phone.report()).way, 'relay', phone.label);
    assert.deepEqual(phone.errors, [], phone.label);
  }
});
