// What a client does that connects while nobody can say whether its session is good (gateway B): it is neither let
// in nor refused, tries again by itself, and is in as soon as that is known. MEND is a port; who connects to it
// has the fault mended.

import assert from 'node:assert/strict';
import net from 'node:net';
import { GATEWAY_B, Stage, login, required, within } from './harness.mjs';

const MEND = Number(required('MEND', 'the port at which the fault is mended'));
// A client that was refused does not come back. One that polls is cut ten seconds after it has come.
const TRIES = { websocket: 2, polling: 1 };

const stage = new Stage();
const user = await login();
const reconnecting = { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 500 };
const trying = ['websocket', 'polling'].map(async (transport) => {
  const label = `by ${transport}`;
  const options = { ...reconnecting, transports: [transport] };
  const listener = stage.open(label, GATEWAY_B, user, options);
  const { socket } = listener;
  const packets = [];
  const watch = () => {
    socket.io.engine.on('packet', ({ type, data }) => type === 'message' && packets.push(data));
  };
  watch();
  socket.io.on('reconnect_attempt', () => setImmediate(watch));
  socket.on('connect_error', ({ message, data }) => {
    assert.ok(!data && message !== 'unauthorized', `${label} was refused: ${message}`);
  });
  let [cuts, wake] = [0, () => {}];
  const cut = new Promise((resolve) => (wake = resolve));
  socket.io.on('close', () => (cuts += 1) >= TRIES[transport] && wake());
  await within(cut, 20_000, `${label} was not cut`);
  assert.equal(socket.connected, false, `${label} was let in`);
  assert.deepEqual(packets.filter((packet) => !packet.startsWith('0')), [], label);
  return listener;
});
const listeners = await Promise.all(trying);

const connected = listeners.map((listener) => {
  return new Promise((resolve) => listener.socket.once('connect', resolve));
});
net.connect(MEND, '127.0.0.1').on('error', assert.ifError).end();
await within(Promise.all(connected), 20_000, 'a client did not come back');
for (const listener of listeners) {
  const greeting = await listener.heard('connected');
  assert.equal(greeting.userId, user.id, listener.label);
}
stage.close();
