// Two pages hold a call over two gateways. Then the caller's gateway dies: sound and picture go on, the
// page comes back to the gateway that is started in its place, and the call is hung up from there.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { GATEWAY_A, GATEWAY_B, logins } from './harness.mjs';
import { Phone, withBrowser } from './pages.mjs';

// Longer than the services wait for a socket that has left, and look for such calls.
const GRACE_MS = 12_000;

const [u1, u2] = await logins(2);
await u1.openConversation(u2);

await withBrowser(async (browser) => {
  const [p1, p2] = await Promise.all([
    Phone.open(browser, 'caller', GATEWAY_A, u1),
    Phone.open(browser, 'callee', GATEWAY_B, u2),
  ]);
  await p1.call(u2);
  await Promise.all([p1.sees(), p2.sees()]);
  const [{ callId }] = await p1.heard('call:ringing');

  assert.equal(await p1.connects(), 1);
  process.kill(Number(process.env.GATEWAY_A_PID), 'SIGKILL');
  const died = Date.now();
  await p1.until('back at its gateway', async () => (await p1.connects()) === 2);
  console.log(`back after ${Date.now() - died} ms`);
  await Promise.all([p1.sees(), p2.sees()]);
  await pause(GRACE_MS - (Date.now() - died));
  for (const phone of [p1, p2]) {
    assert.deepEqual(await phone.heard('call:ended'), [], `${phone.label}: the call lives`);
  }
  await Promise.all([p1.sees(), p2.sees()]);

  await p1.hangUp();
  for (const phone of [p1, p2]) {
    await phone.until('ended', async () => (await phone.heard('call:ended')).length > 0);
    assert.deepEqual(await phone.heard('call:ended'), [{ callId, by: u1.id }], phone.label);
    assert.deepEqual(phone.errors, [], phone.label);
  }
});
